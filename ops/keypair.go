package ops

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/kubewright/kubewright/pki"
)

// KeyPair is a private key made on this host, and its public half beside it. A key that is there is never made anew.
type KeyPair struct {
	Private string `json:"private"`        // 0600
	Public  string `json:"public"`         // 0644
	Half    bool   `json:"half,omitempty"` // in observations: the public half is missing or another key's
	Absent  bool   `json:"absent,omitempty"`
	parents
}

func (k KeyPair) Key() Key { return Key("keypair:" + k.Private) }

// Touches names what may be replaced, so that it can be kept.
func (k KeyPair) Touches() []string { return []string{k.Private, k.Public} }

func (k KeyPair) Observe(_ context.Context, m Machine) (Op, error) {
	seen := KeyPair{Private: k.Private, Public: k.Public}
	private, public, err := k.read(m)
	if err != nil {
		return nil, err
	}
	if private == nil {
		if public != nil {
			return nil, fmt.Errorf("%s is there without its private key %s", k.Public, k.Private)
		}
		seen.Absent, seen.parents = true, missingDirs(m, k.Private, k.Public)
		return seen, nil
	}
	want, err := pki.PublicKey(private)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.Private, err)
	}
	seen.Half = !bytes.Equal(bytes.TrimSpace(want), bytes.TrimSpace(public))
	return seen, nil
}

func (k KeyPair) Set(_ context.Context, m Machine, _ Op) error {
	if k.Absent {
		for _, p := range []string{k.Public, k.Private} {
			if err := remove(m, p); err != nil {
				return err
			}
		}
		return k.prune(m, k.Private, k.Public)
	}
	if k.Half { // an observation: what the public file was is kept aside, where it was there at all
		return remove(m, k.Public)
	}
	private, _, err := k.read(m)
	if err != nil {
		return err
	}
	if private == nil {
		if private, err = pki.NewKey(); err != nil {
			return err
		}
		if err := writeFile(m, k.Private, attrs{mode: 0o600}, func(w io.Writer) error { _, err := w.Write(private); return err }); err != nil {
			return err
		}
	}
	public, err := pki.PublicKey(private)
	if err != nil {
		return fmt.Errorf("%s: %w", k.Private, err)
	}
	return writeFile(m, k.Public, attrs{mode: 0o644}, func(w io.Writer) error { _, err := w.Write(public); return err })
}

func (k KeyPair) read(m Machine) (private, public []byte, err error) {
	if private, err = readSmall(m, k.Private, false); err != nil {
		return nil, nil, err
	}
	public, err = readSmall(m, k.Public, false)
	return private, public, err
}

func (k KeyPair) same(seen Op) bool {
	s := seen.(KeyPair)
	return k.Absent == s.Absent && k.Half == s.Half
}
