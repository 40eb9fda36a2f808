package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// Trust learns the keys that a host shows, of every type that we accept. It goes no further than that: no login is tried, and nothing
// is written. Whether the keys are the right ones is for a person to say.
func Trust(ctx context.Context, a Address, opts ...Option) ([]Key, error) {
	a = a.withDefaults()
	o := defaults()
	for _, set := range opts {
		set(&o)
	}
	var keys []Key
	for _, family := range families {
		key, err := o.learn(ctx, a, family)
		if err != nil {
			return nil, err
		}
		if key != nil {
			keys = append(keys, *key)
		}
	}
	if len(keys) == 0 {
		return nil, a.fail("learn its keys", errors.New("the host has no key of a type that we accept (ed25519, ecdsa, rsa)"), "make host keys with: ssh-keygen -A")
	}
	return keys, nil
}

// learn asks for one sort of key; nil when the host has none.
func (o options) learn(ctx context.Context, a Address, family []string) (*Key, error) {
	for busy := 0; ; {
		t := &attempt{believed: belief{endpoint: a.endpoint(), learn: true}, keys: &login{}, algorithms: family}
		_, err := o.handshake(ctx, a, t)
		var none *ssh.AlgorithmNegotiationError
		switch {
		case t.verdict != nil:
			return &t.verdict.Seen[0], nil
		case errors.Is(ctx.Err(), context.Canceled):
			return nil, ctx.Err()
		case errors.As(err, &none) && none.What == "host key":
			return nil, nil
		case t.tcp != nil && dropped(err) && busy < busyTries:
			if busy++; pause(ctx, busy) == nil {
				continue
			}
		}
		return nil, o.explain(a, t, t.keys, err)
	}
}

// AppendKnownHosts writes down keys that a person has agreed to. The file is replaced as a whole and keeps its mode; keys that it
// already has are not written again. It refuses, changing nothing, when the file knows other keys of the host: an old key is only
// ever removed by a person.
func AppendKnownHosts(path string, keys []Key) error {
	path, err := fromHome(path)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a known_hosts that is a link stays one
	}
	db, err := readKnownHosts(path)
	if err != nil {
		return err
	}
	check := db.HostKeyCallback()
	var fresh []string
	type standing struct{ known, match bool }
	byHost := map[string]*standing{}
	for _, k := range keys {
		_, hosts, pub, _, _, err := ssh.ParseKnownHosts([]byte(k.Line))
		if err != nil || len(hosts) != 1 {
			return fmt.Errorf("%q is not a line for known_hosts", Printable(k.Line))
		}
		endpoint := hosts[0]
		if _, _, err := net.SplitHostPort(endpoint); err != nil {
			endpoint = net.JoinHostPort(endpoint, "22")
		}
		is := byHost[endpoint]
		if is == nil {
			is = new(standing)
			byHost[endpoint] = is
		}
		err = check(endpoint, &net.TCPAddr{}, pub)
		var mismatch *xknownhosts.KeyError
		switch {
		case err == nil:
			is.known, is.match = true, true
			continue
		case !errors.As(err, &mismatch):
			return fmt.Errorf("%s: %s %s: %w", path, hosts[0], k.Fingerprint, err)
		}
		for _, old := range db.HostKeys(endpoint) {
			if old.Cert {
				continue // an authority's key, which is not the host's
			}
			is.known = true
			if old.Type() == pub.Type() {
				return fmt.Errorf("%s has another %s key of %s: %s, not %s", path, pub.Type(), hosts[0], ssh.FingerprintSHA256(old), k.Fingerprint)
			}
		}
		fresh = append(fresh, strings.TrimSpace(k.Line))
	}
	for endpoint, is := range byHost {
		// A host that shows none of its known keys is not that host, even if the types differ.
		if is.known && !is.match {
			return fmt.Errorf("%s knows %s by other keys, and the host showed none of them", path, endpoint)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return appendLines(path, slices.Compact(fresh))
}

func appendLines(path string, lines []string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if fi, err := os.Stat(path); err == nil {
		mode = fi.Mode().Perm()
	}
	if len(old) > 0 && old[len(old)-1] != '\n' {
		old = append(old, '\n')
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".known_hosts-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(old, strings.Join(lines, "\n")+"\n"...))
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
