package config

import (
	"fmt"
	"log/slog"
)

// redacted is what stands for a secret wherever one would be printed.
const redacted = "[secret]"

// Secret is a string that does not print: not with any verb of fmt, not as JSON or text, not through slog. A struct
// that holds one can be logged. [Secret.Reveal] gives the value to the one call that needs it.
//
// It has no decoder of its own, since an error of a decoder quotes what it was given.
type Secret string

var (
	_ fmt.Formatter  = Secret("")
	_ slog.LogValuer = Secret("")
)

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// String returns a placeholder.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString returns a placeholder.
func (s Secret) GoString() string { return s.String() }

// Format prints a placeholder for every verb; without it %d would print the value as that of a wrong type.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// MarshalText returns a placeholder. It serves JSON too, except for the keys of a map: encoding/json takes those of a
// string type as they are, so a secret must not be one.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
