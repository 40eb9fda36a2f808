package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

// aPlan is a saved plan of a small cluster.
func aPlan(t *testing.T, c *inventory.Cluster, b *bundle.Bundle) *savedPlan {
	t.Helper()
	s := &savedPlan{Kind: planKind, Version: planVersion, Program: version, Made: time.Unix(1767225600, 0).UTC(), Cluster: c.Metadata.Name,
		Inventory: inventoryDigest(c), Lock: lockDigest(b.Lock), Facts: map[string]agent.Facts{"master": {MachineID: "abc", Kernel: "<6>"}},
		Targets: []engine.Promise{{Target: "master", Steps: []engine.PromisedStep{
			{Phase: "host", Key: "file:/x", Wish: "sha256:1", Seen: "sha256:2", Was: []byte(`{"path":"/x","content":"PHgm"}`)}}}},
	}
	var err error
	if s.Digest, err = s.sum(); err != nil {
		t.Fatal(err)
	}
	return s
}

func aCluster(t *testing.T) *inventory.Cluster {
	t.Helper()
	c, err := inventory.Parse("cluster.yaml", inventory.Example())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestASavedPlanIsRead(t *testing.T) {
	c, b := aCluster(t), &bundle.Bundle{}
	path := filepath.Join(t.TempDir(), "a.plan")
	s := aPlan(t, c, b)
	for range 2 { // it may take an older one's place
		if err := errors.Join(mayWritePlan(path), s.write(path)); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/.*"); left != nil {
		t.Errorf("left %v", left)
	}
	again, err := readPlan(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest != s.Digest || again.Facts["master"].Kernel != "<6>" {
		t.Errorf("it came back as %+v", again)
	}
	if err := again.madeFrom(c, b); err != nil {
		t.Error(err)
	}
}

// TestASpoiltPlanIsRefused: cut off at any byte, changed in any digit, it is not believed.
func TestASpoiltPlanIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.plan")
	if err := aPlan(t, aCluster(t), &bundle.Bundle{}).write(path); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, raw []byte) {
		t.Helper()
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readPlan(path); err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), "make it anew") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range len(whole) - 2 {
		try("cut off", whole[:n])
	}
	for i, c := range whole {
		if c >= '0' && c <= '9' {
			changed := append([]byte(nil), whole...)
			changed[i] = '0' + (c-'0'+1)%10
			try("changed at "+string(whole[max(0, i-20):i+1]), changed)
		}
	}
	try("more after it", append(append([]byte(nil), whole...), "{}"...))
}

func TestAPlanOfSomethingElseIsRefused(t *testing.T) {
	c, b := aCluster(t), &bundle.Bundle{}
	s := aPlan(t, c, b)
	for want, change := range map[string]func(){
		"is for cluster prod, not":            func() { s.Cluster = "prod" },
		"was made by kubewright v0, and this": func() { s.Program = "v0" },
		"was made from another inventory":     func() { c.Spec.Kubelet.MaxPods++ },
		"was made from another bundle":        func() { b.Lock.Components = append(b.Lock.Components, bundle.Component{Name: "x"}) },
	} {
		before, cluster, lock := *s, *c, b.Lock
		change()
		if err := s.madeFrom(c, b); err == nil || exitCode(err) != exitConflict || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("want %q, got %v", want, err)
		}
		*s, *c, b.Lock = before, cluster, lock
	}
}

func TestPlanIsNotWrittenOverOtherFiles(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(other, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{other: exitRefused, filepath.Join(dir, "no", "a.plan"): exitUsage, filepath.Join(dir, "new.plan"): 0} {
		err := mayWritePlan(path)
		if code := 0; err == nil && want != code || err != nil && exitCode(err) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := readPlan(filepath.Join(dir, "new.plan")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestWhereAPlanGoes(t *testing.T) {
	for _, row := range []struct{ output, out, format, file, err string }{
		{"text", "", "text", "", ""},
		{"json", "x", "json", "x", ""},
		{"today.plan", "", "text", "today.plan", ""},
		{"./today", "", "text", "./today", ""},
		{"today", "", "", "", "want text or json, or a file"},
		{"yaml", "x", "", "", "want text or json, or a file"},
		{"a.plan", "b.plan", "", "", "both name a file"},
	} {
		format, file, err := planOutput(row.output, row.out)
		if format != row.format || file != row.file || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("%+v: %q, %q, %v", row, format, file, err)
		}
	}
}

// TestWhichRunIsTheLast: one without an end wherever it is, else the newest by its name; and none once that was undone.
func TestWhichRunIsTheLast(t *testing.T) {
	names := []string{"a", "b", "c"}
	for _, row := range []struct {
		says  string
		pasts map[string]agent.Past
		want  string
	}{
		{"nothing", map[string]agent.Past{}, ""},
		{"one run", map[string]agent.Past{"a": {Run: "1"}, "b": {Run: "1"}, "c": {Run: "1"}}, "a b c"},
		{"the newer one", map[string]agent.Past{"a": {Run: "1"}, "b": {Run: "2"}, "c": {Run: "2"}}, "b c"},
		{"one that was cut off", map[string]agent.Past{"a": {Run: "1"}, "b": {Run: "3", Open: true}, "c": {Run: "2"}}, "b"},
		{"half an undo", map[string]agent.Past{"a": {Run: "2", Undone: true}, "b": {Run: "2", Open: true}, "c": {Run: "2"}}, "b"},
		{"undone but for one that was away", map[string]agent.Past{"a": {Run: "2", Undone: true}, "b": {Run: "2"}, "c": {Run: "1"}}, "b"},
		{"undone", map[string]agent.Past{"a": {Run: "2", Undone: true}, "b": {Run: "2", Undone: true}, "c": {Run: "1"}}, ""},
		{"another after an undo", map[string]agent.Past{"a": {Run: "2", Undone: true}, "b": {Run: "3"}, "c": {Run: "3"}}, "b c"},
	} {
		if got := strings.Join(lastRun(names, row.pasts), " "); got != row.want {
			t.Errorf("%s: %q, want %q", row.says, got, row.want)
		}
	}
}

// TestAPlanThatWasBegun: only a run of this very plan counts, and only the step that it was cut off in may be in between.
func TestAPlanThatWasBegun(t *testing.T) {
	s := aPlan(t, aCluster(t), &bundle.Bundle{})
	mine, other := "20260101-000000-1"+s.mark(), "20260101-000000-1-plan-000000000000"
	past := func(run string) map[string]agent.Past {
		return map[string]agent.Past{"master": {Run: run, Changes: []agent.PastChange{{Key: "file:/done", Run: run, Seen: true}, {Key: "file:/half", Run: run}}}}
	}
	for _, row := range []struct {
		run, key    string
		begun, half bool
	}{
		{mine, "file:/half", true, true}, {mine, "file:/done", true, false}, {mine, "file:/other", true, false}, {mine, "probe:x", true, true},
		{other, "file:/half", false, false}, {other, "probe:x", false, false},
	} {
		k := &kept{savedPlan: s, pasts: past(row.run)}
		if k.begun() != row.begun || k.half("master", ops.Key(row.key)) != row.half {
			t.Errorf("%s, %s: begun %v, half %v", row.run, row.key, k.begun(), k.half("master", ops.Key(row.key)))
		}
	}
}

// TestWhatIsLearnedOnTheWay: an authority's certificate that a plan could not know is filled in; nothing else is.
func TestWhatIsLearnedOnTheWay(t *testing.T) {
	work := func(steps ...ops.Op) []engine.Work {
		w := engine.Work{Target: "node", Phase: "p"}
		for _, op := range steps {
			w.Steps = append(w.Steps, engine.Step{Op: op})
		}
		return []engine.Work{w}
	}
	unknown, known := ops.Trust{Name: "ca", Path: "/ca"}, ops.Trust{Name: "ca", Path: "/ca", PEM: []byte("pem")}
	got := fillIn(work(unknown, ops.Sysctl{Name: "x", Value: "1"}), work(known, ops.Sysctl{Name: "x", Value: "2"}))
	if !ops.Equal(known, got[0].Steps[0].Op) || !ops.Equal(ops.Sysctl{Name: "x", Value: "1"}, got[0].Steps[1].Op) {
		t.Errorf("got %+v", got[0].Steps)
	}
}
