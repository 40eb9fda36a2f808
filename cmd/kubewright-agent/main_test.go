package main

import (
	"bytes"
	"os"
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

// TestOnlyWhatIsInMemoryVanishes: no other file is ever removed by a program that was started from it.
func TestOnlyWhatIsInMemoryVanishes(t *testing.T) {
	for path, want := range map[string]bool{
		"/run/kubewright-0123456789abcdef/kubewright-agent":     true,
		"/dev/shm/kubewright-0123456789abcdef/kubewright-agent": true,
		"/run/kubewright-0123456789abcdef/other":                false,
		"/run/kubewright-../kubewright-agent":                   false,
		"/run/x/kubewright-0123456789abcdef/kubewright-agent":   false,
		"/var/lib/kubewright/agent/0123/kubewright-agent":       false,
		"/tmp/kubewright-0123456789abcdef/kubewright-agent":     false,
	} {
		if inMemory.MatchString(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	if err := vanish(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(os.Args[0]); err != nil {
		t.Errorf("the test removed itself: %v", err)
	}
}
