package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/ops"
)

// difference says in a few words which fields of what was seen are not as wished. Long values are only named: they may be whole files.
func difference(wish, seen ops.Op) string {
	if d, ok := wish.(interface{ Differs(ops.Op) string }); ok {
		if parts := d.Differs(seen); parts != "" {
			return parts + " is not as wished"
		}
	}
	want, is := fields(wish), fields(seen)
	delete(want, "reads") // what a unit reads is not observed, only whether that is outdated
	names := slices.Collect(maps.Keys(want))
	for name := range is {
		if _, ok := want[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var parts []string
	for _, name := range names {
		if a, b := want[name], is[name]; !bytes.Equal(a, b) {
			parts = append(parts, fmt.Sprintf("%s is %s (wanted %s)", name, brief(b), brief(a)))
		}
	}
	if len(parts) == 0 {
		return "is still not as wished"
	}
	return strings.Join(parts, ", ")
}

func fields(op ops.Op) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	if raw, err := json.Marshal(ops.Masked(op)); err == nil {
		_ = json.Unmarshal(raw, &out)
	}
	return out
}

func brief(raw json.RawMessage) string {
	switch {
	case len(raw) == 0:
		return "not set"
	case len(raw) > 80:
		return "something else"
	}
	return string(raw)
}
