package ops

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/kubewright/kubewright/pki"
)

// Trust is the certificate of an authority whose key lives on another host. A plan made before that authority exists leaves PEM empty: then it is asked
// for when the op is set, and until this process has done so, whatever lies there counts as absent, because it may be an earlier authority's.
type Trust struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	PEM    []byte `json:"pem,omitempty"`
	Absent bool   `json:"absent,omitempty"`
	parents
}

// answered is, by file, what authorities' certificates this process was told.
var answered sync.Map

func (t Trust) Key() Key { return Key("trust:" + t.Path) }

// Touches names what may be replaced, so that it can be kept.
func (t Trust) Touches() []string { return []string{t.Path} }

func (t Trust) Observe(_ context.Context, m Machine) (Op, error) {
	seen := Trust{Name: t.Name, Path: t.Path}
	data, err := readSmall(m, t.Path, false)
	if err != nil {
		return nil, err
	}
	if data == nil {
		seen.Absent, seen.parents = true, missingDirs(m, t.Path)
		return seen, nil
	}
	if len(t.PEM) == 0 && !t.Absent {
		told, ok := answered.Load(m.Path(t.Path))
		if ok && bytes.Equal(told.([]byte), data) {
			return seen, nil
		}
	}
	seen.PEM = data
	return seen, nil
}

func (t Trust) Set(ctx context.Context, m Machine, _ Op) error {
	if t.Absent {
		if err := remove(m, t.Path); err != nil {
			return err
		}
		return t.prune(m, t.Path)
	}
	cert := t.PEM
	if len(cert) == 0 {
		var err error
		if cert, err = m.Ask(ctx, Question{Key: t.Key(), Kind: AskCA, Name: t.Name}); err != nil {
			return err
		}
		if !pki.IsAuthority(cert, "") {
			return fmt.Errorf("what came as the certificate of the authority %s is none", t.Name)
		}
	}
	if err := writeFile(m, t.Path, attrs{mode: 0o644}, func(w io.Writer) error { _, err := w.Write(cert); return err }); err != nil {
		return err
	}
	if len(t.PEM) == 0 {
		answered.Store(m.Path(t.Path), bytes.Clone(cert))
	}
	return nil
}

func (t Trust) same(seen Op) bool {
	s := seen.(Trust)
	return t.Absent == s.Absent && bytes.Equal(t.PEM, s.PEM)
}
