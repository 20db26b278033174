package verbs

// Config is the settings of config.
type Config struct {
	Environment string `env:"MCK_ENVIRONMENT" flag:"environment" doc:"environment of magecloudkit.yaml whose settings count where nothing else is given; a word after the verb is one, too"`
	All         bool   `flag:"all" doc:"show settings that have no value as well"`
	JSON
}
