package awssim

import "fmt"

// Error is an error as AWS answers it.
type Error struct {
	Code    string         // "ClusterNotFoundException"
	Message string         // as AWS words it
	Status  int            // HTTP status; 0 is 400
	Fields  map[string]any // further members of the error's shape, by their name on the wire
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// errf returns an error that AWS answers with status 400.
func errf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
