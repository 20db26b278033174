package verbs

// Version is the settings of version.
type Version struct {
	JSON
}
