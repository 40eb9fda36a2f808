package laws

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

// in is what the phases of these tests are computed from: whether the target is the one with the authority, and whether another thing
// is wanted than at first.
type in struct{ master, other bool }

func phase(name string, on func(in) bool, after []string, ops ...ops.Op) engine.Phase[in] {
	return engine.Phase[in]{Name: name, Short: "do " + name, Long: "It does " + name + ".", On: on, After: after,
		Steps: func(in) ([]engine.Step, error) {
			var steps []engine.Step
			for _, op := range ops {
				steps = append(steps, engine.Step{Op: op, Why: "the test wants it"})
			}
			return steps, nil
		}}
}

var (
	master = func(i in) bool { return i.master }
	worker = func(i in) bool { return !i.master }
	fleet2 = []engine.At[in]{{Name: "worker", In: in{}}, {Name: "master", In: in{master: true}}}
)

// lawful is a small cluster's worth of phases: files shared and not, a CA on one host, certificates of it on both.
func lawful() []engine.Phase[in] {
	const ca, caKey = "/etc/pki/ca.crt", "/etc/pki/ca.key"
	cert := func(name string) ops.Op {
		return ops.Certificate{Request: pki.Request{CommonName: name, Usages: []pki.Usage{pki.ClientAuth}, Days: 365},
			Cert: "/etc/pki/" + name + ".crt", KeyFile: "/etc/pki/" + name + ".key", Authority: "ca", CACert: ca}
	}
	return []engine.Phase[in]{
		phase("prepare", nil, nil,
			ops.Dir{Path: "/etc/pki", Mode: 0o755},
			ops.Block{Path: "/etc/hosts", Name: "cluster", Lines: []string{"10.0.0.1 master", "10.0.0.2 worker"}},
			ops.File{Path: "/etc/motd", Content: []byte("a node\n"), Mode: 0o644},
			ops.File{Path: "/opt/deep/down/new", Content: []byte("new\n"), Mode: 0o600},
			ops.Symlink{Path: "/etc/swap.swap", Target: "/dev/null"},
			ops.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}),
		phase("authority", master, nil,
			ops.Authority{Name: "ca", Cert: ca, KeyFile: caKey, CommonName: "kubernetes"},
			cert("admin")),
		phase("trust", worker, []string{"authority"},
			ops.Trust{Name: "ca", Path: ca},
			cert("kubelet")),
	}
}

func prepare(_ string, m *ops.Pretend) error {
	m.Handle("modprobe", func(argv []string) ([]byte, error) {
		name := argv[len(argv)-1]
		switch remove := slices.Contains(argv, "-r"); {
		case remove && name == "sticky":
			return nil, errors.New("it sticks")
		case remove:
			return nil, os.Remove(m.Path("/sys/module/" + name))
		}
		if err := os.MkdirAll(m.Path("/sys/module/"+name), 0o755); err != nil || name == "sticky" {
			return nil, err
		}
		return nil, os.WriteFile(m.Path("/etc/litter"), nil, 0o644)
	})
	for path, content := range map[string]string{
		"/sys/module/x": "", "/etc/hosts": "127.0.0.1 localhost", "/etc/motd": "welcome\n", "/proc/sys/net/ipv4/ip_forward": "0\n",
	} {
		if err := os.MkdirAll(filepath.Dir(m.Path(path)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(m.Path(path), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func TestGoodPhasesKeepAllLaws(t *testing.T) {
	Check(t, World{Prepare: prepare}, lawful(), fleet2...)
}

// TestGoodPhasesCanBeUndone has the lawful phases wanted otherwise by a second run, with one more phase.
func TestGoodPhasesCanBeUndone(t *testing.T) {
	CheckUndo(t, World{Prepare: prepare}, changeable(), []engine.At[in]{{Name: "worker", In: in{}}, {Name: "master", In: in{master: true}}},
		[]engine.At[in]{{Name: "worker", In: in{other: true}}, {Name: "master", In: in{master: true, other: true}}})
}

// changeable is the lawful phases, which say something else where the input is the other one.
func changeable() []engine.Phase[in] {
	lawful := lawful()
	steps := lawful[0].Steps
	lawful[0].Steps = func(i in) ([]engine.Step, error) {
		all, err := steps(i)
		if err != nil || !i.other {
			return all, err
		}
		for n, s := range all {
			switch op := s.Op.(type) {
			case ops.Block:
				op.Lines = op.Lines[:1]
				all[n].Op = op
			case ops.File:
				op.Content, op.Mode = append(op.Content, "and more\n"...), 0o640
				all[n].Op = op
			case ops.Sysctl:
				op.Value = "0"
				all[n].Op = op
			}
		}
		more := ops.File{Path: "/opt/only/second", Content: []byte("x"), Mode: 0o600}
		return append(all, engine.Step{Op: more, Why: "only the second run wants it"}), nil
	}
	return lawful
}

// TestWhatCannotBeUndoneIsFound: a program that leaves something behind in the second run.
func TestWhatCannotBeUndoneIsFound(t *testing.T) {
	p := engine.Phase[in]{Name: "p", Short: "do p", Long: "It does p.", Steps: func(i in) ([]engine.Step, error) {
		all := []engine.Step{{Op: ops.Symlink{Path: "/etc/x", Target: "/etc/motd"}, Why: "y"}}
		if i.other {
			all = append(all, engine.Step{Op: ops.Module{Name: "litter", Loaded: true}, Why: "y"})
		}
		return all, nil
	}}
	c := &check[in]{World: World{Prepare: prepare}, phases: []engine.Phase[in]{p}, targets: []engine.At[in]{{Name: "worker"}}, ctx: t.Context(), tmp: func() string { return scratch(t) }}
	err := undoable(c, []engine.At[in]{{Name: "worker", In: in{other: true}}})
	if err == nil || !strings.Contains(err.Error(), "undo: worker:/etc/litter is there") {
		t.Errorf("got %v", err)
	}
}

// TestBrokenLawsAreFound has a list of phases for each law that breaks it, and what is said of it.
func TestBrokenLawsAreFound(t *testing.T) {
	calls := 0
	secret := ops.File{Path: "/etc/x", Content: []byte("x\n"), Mode: 0o600}
	link := ops.Symlink{Path: "/etc/x", Target: "/etc/motd"}
	for _, row := range []struct {
		law    string
		says   string
		phases []engine.Phase[in]
		want   string
	}{
		{"explained", "no long text", []engine.Phase[in]{{Name: "p", Short: "do it", Steps: lawful()[0].Steps}}, "p: the phase needs a short and a long text"},
		{"explained", "a short text that is a sentence", []engine.Phase[in]{{Name: "p", Short: "It does.", Long: "x", Steps: lawful()[0].Steps}}, "without a full stop"},
		{"explained", "a step without a reason", []engine.Phase[in]{{Name: "p", Short: "do it", Long: "It does.", Steps: func(in) ([]engine.Step, error) {
			return []engine.Step{{Op: link}}, nil
		}}}, "the step does not say why"},
		{"pure", "another step each time", []engine.Phase[in]{{Name: "p", Steps: func(in) ([]engine.Step, error) {
			calls++
			return []engine.Step{{Op: ops.Symlink{Path: "/x", Target: strings.Repeat("x", calls)}, Why: "y"}}, nil
		}}}, "p on worker: the same input gave another step 1: link:/x"},
		{"pure", "more steps each time", []engine.Phase[in]{{Name: "p", Steps: func(in) (steps []engine.Step, _ error) {
			calls++
			for i := range calls {
				steps = append(steps, engine.Step{Op: ops.Symlink{Path: strings.Repeat("/x", i+1)}, Why: "y"})
			}
			return steps, nil
		}}}, "the same input gave other steps"},
		{"convergent", "two steps that fight", []engine.Phase[in]{phase("p", nil, nil, link, secret)}, "link:/etc/x: is not so after a run"},
		{"idempotent", "two steps that fight", []engine.Phase[in]{phase("p", nil, nil, link, secret)}, "link:/etc/x: was changed a second time"},
		{"reversible", "a program that leaves something", []engine.Phase[in]{phase("p", nil, nil, ops.Module{Name: "litter", Loaded: true})}, "worker:/etc/litter is there"},
		{"resumable", "a program that leaves something", []engine.Phase[in]{phase("p", nil, nil, ops.Module{Name: "litter", Loaded: true}, link)},
			"after a failure at change 1 of worker and another run and a reset: master:/etc/litter is there"},
		{"patient", "a program that leaves something", []engine.Phase[in]{phase("p", nil, nil, ops.Module{Name: "litter", Loaded: true}, link)}, "master:/etc/litter is there"},
		{"patient", "an undo that never succeeds", []engine.Phase[in]{phase("p", nil, nil, ops.Module{Name: "sticky", Loaded: true}, link)}, "it sticks"},
		{"resumable", "a step that fails", []engine.Phase[in]{phase("p", nil, nil, ops.Sysctl{Name: "no.such", Value: "1"})}, "the kernel has no parameter no.such"},
	} {
		t.Run(row.law+": "+row.says, func(t *testing.T) {
			c := &check[in]{World: World{Prepare: prepare}, phases: row.phases, targets: fleet2, ctx: t.Context(), tmp: func() string { return scratch(t) }}
			for _, law := range all[in]() {
				if law.name != row.law {
					continue
				}
				if err := law.holds(c); err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("got %v, want %s", err, row.want)
				}
			}
		})
	}
}

func TestWhatDiffersIsTold(t *testing.T) {
	want := snapshot{"m:/a": "one", "m:/b": "two", "m:/c": "three"}
	got := snapshot{"m:/a": "one", "m:/b": "2", "m:/d": "four"}
	err := differ(want, got)
	if err == nil || err.Error() != "m:/b is 2, want two\nm:/c is gone: three\nm:/d is there: four" {
		t.Errorf("got %v", err)
	}
	if err := differ(want, want); err != nil {
		t.Errorf("the same differs: %v", err)
	}
}

func TestKeysAndCertificatesLookAlike(t *testing.T) {
	a := snapshot{"m:/k": `"-----BEGIN EC PRIVATE KEY-----\nAAAA+/=\n-----END EC PRIVATE KEY-----\n"`, "m:/c": "data: LS0tLS1CRUdJTiBDRVJUQUFB\n", "m:" + "/var/lib/kubewright/journal.jsonl": "1"}
	b := snapshot{"m:/k": `"-----BEGIN EC PRIVATE KEY-----\nBBBB\n-----END EC PRIVATE KEY-----\n"`, "m:/c": "data: LS0tLS1CRUdJTiBDRVJUQkJC\n", "m:" + "/var/lib/kubewright/journal.jsonl": "2"}
	if err := differ(a.plain(), b.plain()); err != nil {
		t.Error(err)
	}
	c := snapshot{"m:/k": "no key", "m:/c": "data: LS0tLS1CRUdJTiBDRVJUQUFB\n"}
	if differ(a.plain(), c.plain()) == nil {
		t.Error("a key looks like something else")
	}
}
