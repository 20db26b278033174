package wire

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is an error as AWS answers it.
type Error struct {
	Code    string         // "ClusterNotFoundException"
	Message string         // as AWS words it
	Status  int            // HTTP status; 0 is 400
	Fields  map[string]any // further members of the error's shape, by their name on the wire
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errf returns an error that AWS answers with status 400.
func Errf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// AsError returns what a client sees of an error: itself if it is AWS's, else an InternalFailure.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
}

// ModelError is the error for a member that breaks a rule of an API's model.
func ModelError(value any, member, constraint string) *Error {
	return Errf("ValidationException", "1 validation error detected: Value '%v' at '%s' failed to satisfy constraint: %s", value, member, constraint)
}
