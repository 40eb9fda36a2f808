package ops

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"github.com/kubewright/kubewright/pki"
)

// Certificate is a certificate and its key. The key is made on this host and never leaves it; what travels is a CSR. Not bytes are compared, but what
// the certificate says, who signed it and how much of its life is left, so that renewal is just another plan.
type Certificate struct {
	pki.Request
	Cert      string `json:"cert"`           // 0644
	KeyFile   string `json:"key,omitempty"`  // "" with Rotating
	Authority string `json:"authority"`      // who signs it
	CACert    string `json:"caCert"`         // the authority's certificate on this host
	Mode      uint32 `json:"mode,omitempty"` // of the key; 0 is 0600
	UID       int    `json:"uid,omitempty"`  // of the key
	GID       int    `json:"gid,omitempty"`
	Rotating  bool   `json:"rotating,omitempty"` // Cert is a symlink that the kubelet moves on to files that hold certificate and key
	Absent    bool   `json:"absent,omitempty"`
	Stale     string `json:"stale,omitempty"` // in observations: why it must be made anew
	parents
}

// rotatingFile is where the first of a rotating certificate's files is, beside the symlink.
const rotatingFile = "kubelet-client-kubewright.pem"

func (c Certificate) Key() Key { return Key("cert:" + c.Cert) }

// Touches names what may be replaced, so that it can be kept.
func (c Certificate) Touches() []string {
	if c.Rotating {
		return []string{c.Cert, c.first()}
	}
	return []string{c.Cert, c.KeyFile}
}

func (c Certificate) Observe(_ context.Context, m Machine) (Op, error) {
	seen := c
	seen.Absent, seen.Stale, seen.parents = false, "", parents{}
	cert, key, err := c.read(m)
	if err != nil {
		return nil, err
	}
	if cert == nil {
		seen.Absent, seen.parents = true, missingDirs(m, c.Touches()...)
		return seen, nil
	}
	if fi, err := os.Stat(m.Path(c.keyFile())); err == nil {
		if mode := modeOf(fi); mode != c.mode() {
			seen.Mode = mode
		}
		seen.UID, seen.GID = ownerOf(m, fi)
	}
	ca, err := readSmall(m, c.CACert, true)
	if err != nil {
		return nil, err
	}
	switch {
	case key == nil:
		seen.Stale = "its key is missing"
	case ca == nil:
		seen.Stale = "its authority is not known here yet"
	default:
		seen.Stale = pki.Stale(cert, key, ca, c.Request, m.Now())
	}
	return seen, nil
}

func (c Certificate) Set(ctx context.Context, m Machine, was Op) error {
	switch {
	case c.Absent:
		paths := c.Touches()
		for _, p := range paths {
			if err := remove(m, p); err != nil {
				return err
			}
		}
		return c.prune(m, paths...)
	case c.Stale != "":
		return fmt.Errorf("%s was there before (%s); only what was kept of it can bring it back", c.Cert, c.Stale)
	}
	a := attrs{mode: c.mode(), uid: c.UID, gid: c.GID}
	if w, ok := was.(Certificate); ok && !w.Absent && w.Stale == "" {
		// Only its owner or mode is wrong.
		p, err := resolve(m, c.keyFile())
		if err != nil {
			return err
		}
		return adjust(m, p, a)
	}
	_, old, err := c.read(m)
	if err != nil {
		return err
	}
	if c.Rotating {
		old = nil // the kubelet makes a new key each time; so do we
	}
	cert, key, err := certify(ctx, m, c.Key(), c.Authority, c.CACert, c.Request, old)
	if err != nil {
		return err
	}
	if c.Rotating {
		both := slices.Concat(cert, key)
		if err := writeFile(m, c.first(), a, func(w io.Writer) error { _, err := w.Write(both); return err }); err != nil {
			return err
		}
		return link(m, rotatingFile, c.Cert)
	}
	// The key first: a certificate whose key is another one is seen as stale.
	if err := writeFile(m, c.KeyFile, a, func(w io.Writer) error { _, err := w.Write(key); return err }); err != nil {
		return err
	}
	return writeFile(m, c.Cert, attrs{mode: 0o644}, func(w io.Writer) error { _, err := w.Write(cert); return err })
}

// certify has a certificate for the key signed, or for a new key where there is no good one, and checks what came back.
func certify(ctx context.Context, m Machine, asks Key, authority, caFile string, r pki.Request, key []byte) (cert, usedKey []byte, err error) {
	ca, err := readSmall(m, caFile, true)
	if err != nil {
		return nil, nil, err
	}
	if ca == nil {
		return nil, nil, fmt.Errorf("the authority's certificate %s is not there", caFile)
	}
	if !pki.GoodKey(key) {
		if key, err = pki.NewKey(); err != nil {
			return nil, nil, err
		}
	}
	csr, err := pki.NewCSR(key, r)
	if err != nil {
		return nil, nil, err
	}
	cert, err = m.Ask(ctx, Question{Key: asks, Kind: AskSign, Name: authority, Data: csr})
	if err != nil {
		return nil, nil, fmt.Errorf("the authority %s: %w", authority, err)
	}
	if why := pki.Stale(cert, key, ca, r, m.Now()); why != "" {
		return nil, nil, fmt.Errorf("what the authority %s signed is not what was asked for: %s", authority, why)
	}
	return cert, key, nil
}

func (c Certificate) read(m Machine) (cert, key []byte, err error) {
	if cert, err = readSmall(m, c.Cert, c.Rotating); err != nil {
		return nil, nil, err
	}
	if c.Rotating {
		return cert, cert, nil
	}
	key, err = readSmall(m, c.KeyFile, false)
	return cert, key, err
}

func (c Certificate) first() string { return path.Join(path.Dir(c.Cert), rotatingFile) }

// keyFile is the file whose owner and mode matter.
func (c Certificate) keyFile() string {
	if c.Rotating {
		return c.Cert
	}
	return c.KeyFile
}

func (c Certificate) mode() uint32 {
	if c.Mode == 0 {
		return 0o600
	}
	return c.Mode
}

func (c Certificate) same(seen Op) bool {
	s := seen.(Certificate)
	if c.Absent || s.Absent {
		return c.Absent == s.Absent
	}
	return c.Stale == s.Stale && c.mode() == s.mode() && c.UID == s.UID && c.GID == s.GID
}
