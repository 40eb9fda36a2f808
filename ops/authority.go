package ops

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kubewright/kubewright/pki"
)

// Authority is a certificate authority whose key was made on this host and never leaves it. One that is whole is kept for ever: it is never
// made anew because it is old or damaged, since everything that trusts it would be lost with it.
type Authority struct {
	Name       string `json:"name"`
	Cert       string `json:"cert"` // 0644
	KeyFile    string `json:"key"`  // 0600
	CommonName string `json:"commonName"`
	Expired    bool   `json:"expired,omitempty"` // in observations
	Absent     bool   `json:"absent,omitempty"`
	parents
}

func (a Authority) Key() Key { return Key("authority:" + a.Name) }

// Touches names what may be replaced, so that it can be kept.
func (a Authority) Touches() []string { return []string{a.Cert, a.KeyFile} }

func (a Authority) Observe(_ context.Context, m Machine) (Op, error) {
	seen := Authority{Name: a.Name, Cert: a.Cert, KeyFile: a.KeyFile, CommonName: a.CommonName}
	cert, err := readSmall(m, a.Cert, false)
	if err != nil {
		return nil, err
	}
	key, err := readSmall(m, a.KeyFile, false)
	if err != nil {
		return nil, err
	}
	if cert == nil && key == nil || key == nil && a.halfWritten(m, cert) {
		seen.Absent, seen.parents = true, missingDirs(m, a.Cert, a.KeyFile)
		return seen, nil
	}
	switch err := a.check(m, cert, key); {
	case errors.Is(err, pki.ErrExpired):
		seen.Expired = true
	case err != nil:
		return nil, err
	}
	return seen, nil
}

// check says what is wrong with the pair, naming both files.
func (a Authority) check(m Machine, cert, key []byte) error {
	var err error
	switch {
	case cert == nil:
		err = errors.New("there is a key without its certificate")
	case key == nil:
		err = errors.New("there is a certificate without its key")
	case !pki.IsAuthority(cert, a.CommonName):
		err = fmt.Errorf("the certificate is not that of the authority %q", a.CommonName)
	default:
		err = pki.CheckAuthority(cert, key, m.Now())
	}
	if err != nil {
		return fmt.Errorf("authority %s (%s, %s): %w", a.Name, a.Cert, a.KeyFile, err)
	}
	return nil
}

// Set writes the key beside its name first, then names the certificate, then the key: a crash leaves either no certificate, and the next try begins
// anew, or a certificate whose key lies ready to be named.
func (a Authority) Set(_ context.Context, m Machine, _ Op) error {
	if a.Absent {
		// The same way back: a crash leaves no half that looks like somebody else's.
		if exists(m, a.KeyFile) && exists(m, a.Cert) {
			if err := rename(m, a.KeyFile, tempOf(a.KeyFile)); err != nil {
				return err
			}
		}
		for _, p := range []string{a.Cert, a.KeyFile} {
			if err := remove(m, p); err != nil {
				return err
			}
		}
		return a.prune(m, a.Cert, a.KeyFile)
	}
	cert, err := readSmall(m, a.Cert, false)
	if err != nil {
		return err
	}
	key, err := readSmall(m, a.KeyFile, false)
	if err != nil {
		return err
	}
	switch {
	case key == nil && a.halfWritten(m, cert):
		return rename(m, tempOf(a.KeyFile), a.KeyFile)
	case cert != nil || key != nil:
		return a.check(m, cert, key)
	}
	cert, key, err = pki.NewAuthority(a.CommonName, m.Now())
	if err != nil {
		return err
	}
	for _, p := range []string{a.Cert, a.KeyFile} {
		if err := makeParents(m, p); err != nil {
			return err
		}
	}
	keyTemp, err := writeTemp(m, a.KeyFile, attrs{mode: 0o600}, func(w io.Writer) error { _, err := w.Write(key); return err })
	if err != nil {
		return err
	}
	if err := writeFile(m, a.Cert, attrs{mode: 0o644}, func(w io.Writer) error { _, err := w.Write(cert); return err }); err != nil {
		return orClear(m, keyTemp, err)
	}
	return rename(m, keyTemp, a.KeyFile) // should that fail, the key stays where it lies ready
}

// halfWritten says whether the certificate is there and the key that belongs to it lies ready.
func (a Authority) halfWritten(m Machine, cert []byte) bool {
	key, err := readSmall(m, tempOf(a.KeyFile), false)
	return err == nil && cert != nil && key != nil && pki.CheckAuthority(cert, key, m.Now()) == nil
}

func (a Authority) same(seen Op) bool {
	s := seen.(Authority)
	return a.Absent == s.Absent && a.Expired == s.Expired
}
