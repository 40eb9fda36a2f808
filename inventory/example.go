package inventory

import _ "embed"

//go:embed example.yaml
var example []byte

// Example is a cluster file to begin with: a control plane, two workers and the registry, with a comment for each choice.
func Example() []byte { return append([]byte(nil), example...) }
