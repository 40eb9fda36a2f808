package pki

import "fmt"

// Secret is bytes that must not be shown. However it is printed or encoded, it says "<secret>"; whoever truly wants the bytes converts it.
type Secret []byte

const hidden = "<secret>"

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
func (Secret) MarshalYAML() (any, error)    { return hidden, nil }
