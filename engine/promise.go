package engine

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/ops"
)

// Promise is what a plan said of one target: its steps in their order, what each was to do and what was seen of it. It holds no secrets; where there
// is one, there is its digest.
type Promise struct {
	Target string         `json:"target"`
	Steps  []PromisedStep `json:"steps"`
}

// PromisedStep is one step as it was planned.
type PromisedStep struct {
	Phase string          `json:"phase"`
	Key   ops.Key         `json:"key"`
	Wish  string          `json:"wish"`          // digest of the wish
	Seen  string          `json:"seen"`          // digest of the observation
	Was   json.RawMessage `json:"was,omitempty"` // the observation, where the step was to change something
}

// Promise is the plan as it can be kept for later.
func (p *Plan) Promise() ([]Promise, error) {
	var out []Promise
	for _, target := range p.Targets() {
		t := Promise{Target: target}
		for _, w := range p.Works {
			if w.Target != target {
				continue
			}
			if w.Err != nil {
				return nil, p.blame(target, w.Err)
			}
			changes := map[ops.Key]Change{}
			for _, c := range w.Changes {
				changes[c.Op.Key()] = c
			}
			for i, s := range w.Steps {
				step := PromisedStep{Phase: w.Phase, Key: s.Op.Key(), Wish: digest(s.Op), Seen: digest(w.Seen[i])}
				if _, ok := changes[step.Key]; ok {
					raw, err := json.Marshal(ops.Masked(w.Seen[i]))
					if err != nil {
						return nil, fmt.Errorf("%s: %s: cannot be saved: %w", target, step.Key, err)
					}
					step.Was = raw
				}
				t.Steps = append(t.Steps, step)
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// digest is that of an op without its secrets.
func digest(op ops.Op) string {
	raw, err := json.Marshal(ops.Masked(op))
	if err != nil {
		return err.Error() // equals no digest
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Breach is one thing that is not as a promise says.
type Breach struct {
	Target string  `json:"target"`
	Key    ops.Key `json:"key,omitempty"`
	Says   string  `json:"says"`           // a sentence's end: value was 0, is 1 now
	Diff   string  `json:"diff,omitempty"` // what was seen then and what is seen now, as a unified diff without secrets
}

func (b Breach) Error() string {
	if b.Key == "" {
		return b.Target + ": " + b.Says
	}
	return b.Target + ": " + string(b.Key) + ": " + b.Says
}

// Steps tells how works differ from those that were promised. The order counts.
func Steps(promised []Promise, works []Work) (all []Breach) {
	then := map[string][]PromisedStep{}
	for _, p := range promised {
		then[p.Target] = p.Steps
	}
	now := map[string][]PromisedStep{}
	for _, w := range works {
		for _, s := range w.Steps {
			now[w.Target] = append(now[w.Target], PromisedStep{Phase: w.Phase, Key: s.Op.Key(), Wish: digest(s.Op)})
		}
	}
	names := targetNames(works)
	for _, p := range promised {
		if !slices.Contains(names, p.Target) {
			all = append(all, Breach{Target: p.Target, Says: "is not among the targets any more"})
		}
	}
	for _, name := range names {
		if b, differs := otherSteps(name, then[name], now[name]); differs {
			all = append(all, b)
		}
	}
	return all
}

// otherSteps tells the first difference between two lists.
func otherSteps(target string, then, now []PromisedStep) (Breach, bool) {
	has := func(list []PromisedStep, key ops.Key) bool {
		return slices.ContainsFunc(list, func(s PromisedStep) bool { return s.Key == key })
	}
	for i := range max(len(then), len(now)) {
		switch {
		case i < len(now) && !has(then, now[i].Key):
			return Breach{Target: target, Key: now[i].Key, Says: "is a step that the plan does not have"}, true
		case i < len(then) && !has(now, then[i].Key):
			return Breach{Target: target, Key: then[i].Key, Says: "was a step of the plan, and is none any more"}, true
		case then[i].Key != now[i].Key || then[i].Phase != now[i].Phase:
			return Breach{Target: target, Key: now[i].Key, Says: "comes at another place than in the plan"}, true
		case then[i].Wish != now[i].Wish:
			return Breach{Target: target, Key: now[i].Key, Says: "should be otherwise now than the plan says, by what the hosts say of themselves"}, true
		}
	}
	return Breach{}, false
}

// Breaches tells what is neither as it was when the plan was made nor as it should become. What a run of this very plan was in the middle of when it
// was cut off may be in between; half says of which steps that is so.
func (p *Plan) Breaches(promised []Promise, half func(target string, key ops.Key) bool) (all []Breach) {
	then := map[string]map[ops.Key]PromisedStep{}
	for _, t := range promised {
		then[t.Target] = map[ops.Key]PromisedStep{}
		for _, s := range t.Steps {
			then[t.Target][s.Key] = s
		}
	}
	for _, w := range p.Works {
		for _, c := range w.Changes {
			step, known := then[w.Target][c.Op.Key()]
			if !known || half(w.Target, step.Key) {
				continue
			}
			if b, differs := breach(w.Target, step, c); differs {
				all = append(all, b)
			}
		}
	}
	return all
}

// breach compares what was seen of a thing that is not as wished with what the plan saw. A thing of which the plan kept no observation was as wished.
func breach(target string, step PromisedStep, c Change) (Breach, bool) {
	now, was := ops.Masked(c.Was), ops.Masked(c.Op)
	if step.Was != nil {
		if digest(c.Was) == step.Seen {
			return Breach{}, false
		}
		then := reflect.New(reflect.TypeOf(c.Was))
		if err := json.Unmarshal(step.Was, then.Interface()); err != nil {
			return Breach{Target: target, Key: step.Key, Says: "what the plan saw of it cannot be read: " + err.Error()}, true
		}
		was = then.Elem().Interface().(ops.Op)
		if ops.Equal(was, c.Was) {
			return Breach{}, false
		}
	}
	return Breach{Target: target, Key: step.Key, Says: wasAndIs(was, now), Diff: Change{Step: Step{Op: now}, Was: was}.between("then", "now")}, true
}

// wasAndIs names the fields in which two observations of a thing differ.
func wasAndIs(was, is ops.Op) string {
	a, b := fieldsOf(was), fieldsOf(is)
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var parts []string
	for _, name := range names {
		if string(a[name]) != string(b[name]) {
			parts = append(parts, fmt.Sprintf("%s was %s, is %s now", name, brief(a[name]), brief(b[name])))
		}
	}
	switch {
	case present(was) && !present(is):
		return "is gone"
	case !present(was) && present(is):
		return "was not there, and is there now"
	case len(parts) == 0:
		return "is not as it was"
	}
	return strings.Join(parts, "; ")
}

// fieldsOf are an op's fields but for those that only name its neighbours.
func fieldsOf(op ops.Op) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	if raw, err := json.Marshal(op); err == nil {
		_ = json.Unmarshal(raw, &out)
	}
	delete(out, "noDirs")
	delete(out, "reads")
	if content, ok := out["content"]; ok {
		out["content"] = summed(content)
	}
	var mode uint32
	if json.Unmarshal(out["mode"], &mode) == nil {
		out["mode"] = fmt.Appendf(nil, "%04o", mode)
	}
	return out
}

// summed is a content as its digest.
func summed(raw json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return raw
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return raw
	}
	sum := sha256.Sum256(data)
	return json.RawMessage(fmt.Sprintf("%d bytes with sha256:%s", len(data), hex.EncodeToString(sum[:6])))
}

func brief(raw json.RawMessage) string {
	var text string
	switch {
	case len(raw) == 0:
		return "not set"
	case string(raw) == `""`:
		return "empty"
	case json.Unmarshal(raw, &text) == nil && len(text) <= maxBrief:
		return text
	case len(raw) > maxBrief:
		return "something else"
	}
	return string(raw)
}

// maxBrief is how much of a value a sentence repeats.
const maxBrief = 80
