package wire

// Shape is a value of the API in a topology: JSON has it as the API does.
type Shape[T any] struct{ Value T }

// MarshalJSON writes the value as AWS would.
func (s Shape[T]) MarshalJSON() ([]byte, error) { return EncodeJSON(&s.Value), nil }

// UnmarshalJSON reads the value as AWS would, and refuses members that it lacks.
func (s *Shape[T]) UnmarshalJSON(b []byte) error { return DecodeJSON(b, &s.Value) }
