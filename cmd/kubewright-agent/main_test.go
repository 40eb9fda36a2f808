package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
)

func TestArguments(t *testing.T) {
	for args, row := range map[string]struct{ out, err string }{
		"version":        {out: agent.Version + "\n"},
		"":               {err: "what to do is missing"},
		"listen":         {err: `there is no "listen"`},
		"serve --port=1": {err: "not defined: -port"},
	} {
		var out bytes.Buffer
		err := run(strings.Fields(args), strings.NewReader(""), &out)
		if out.String() != row.out || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("%q: %q, %v", args, out.String(), err)
		}
	}
}
