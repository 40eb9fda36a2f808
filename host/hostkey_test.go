package host_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/host/sshtest"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

const (
	ed25519 = ssh.KeyAlgoED25519
	ecdsa   = ssh.KeyAlgoECDSA256
	rsa     = ssh.KeyAlgoRSA
)

func endpoint(a host.Address) string {
	return net.JoinHostPort(a.Addr, portOf(a))
}

// line is a line of known_hosts.
func line(a host.Address, k ssh.PublicKey) string {
	return knownhosts.Line([]string{endpoint(a)}, k) + "\n"
}

func TestHostKeys(t *testing.T) {
	ed, ec, rs := sshtest.NewKey(t, ed25519), sshtest.NewKey(t, ecdsa), sshtest.NewKey(t, rsa)
	other, otherRSA, ca := sshtest.NewKey(t, ed25519), sshtest.NewKey(t, rsa), sshtest.NewKey(t, ed25519)
	pub := func(s ssh.Signer) ssh.PublicKey { return s.PublicKey() }
	print := func(s ssh.Signer) string { return ssh.FingerprintSHA256(s.PublicKey()) }
	all := []ssh.Signer{ed, ec, rs}
	for _, row := range []struct {
		name  string
		keys  []ssh.Signer // the host's
		known func(a host.Address) string
		pins  []string
		want  host.KeyProblem
		seen  ssh.Signer // the key that the error names
	}{
		{name: "nothing is known", keys: all, want: host.KeyUnknown, seen: ed},
		{name: "known", keys: all, known: func(a host.Address) string { return line(a, pub(ed)) }},
		{name: "known by another type than the host would rather show", keys: all, known: func(a host.Address) string { return line(a, pub(rs)) }},
		{name: "known by the second of two types", keys: []ssh.Signer{rs},
			known: func(a host.Address) string { return line(a, pub(ed)) + line(a, pub(rs)) }},
		{name: "known under a hash", keys: all, known: func(a host.Address) string {
			return xknownhosts.HashHostname(xknownhosts.Normalize(endpoint(a))) + " " + strings.SplitN(line(a, pub(ec)), " ", 2)[1]
		}},
		{name: "only another host is known", keys: all, known: func(a host.Address) string {
			return knownhosts.Line([]string{"127.0.0.2:22"}, pub(ed)) + "\n"
		}, want: host.KeyUnknown, seen: ed},
		{name: "changed", keys: all, known: func(a host.Address) string { return line(a, pub(other)) }, want: host.KeyChanged, seen: ed},
		{name: "changed to another type", keys: []ssh.Signer{rs}, known: func(a host.Address) string { return line(a, pub(ed)) }, want: host.KeyChanged, seen: rs},
		{name: "revoked", keys: []ssh.Signer{ed}, known: func(a host.Address) string { return line(a, pub(ed)) + "@revoked * " + keyText(ed) }, want: host.KeyRevoked, seen: ed},
		{name: "certified by a known authority", keys: []ssh.Signer{certified(t, ca, rs), ed},
			known: func(a host.Address) string { return "@cert-authority * " + keyText(ca) }},
		{name: "certified by another authority", keys: []ssh.Signer{certified(t, other, rs)},
			known: func(a host.Address) string { return "@cert-authority * " + keyText(ca) }, want: host.KeyCertificate, seen: rs},
		{name: "not certified where an authority is known", keys: []ssh.Signer{ed},
			known: func(a host.Address) string { return "@cert-authority * " + keyText(ca) }, want: host.KeyUnknown, seen: ed},
		{name: "pinned", keys: all, pins: []string{print(ed)}},
		{name: "pinned by another type than the host would rather show", keys: all, pins: []string{print(rs)}},
		{name: "one of several pins", keys: all, pins: []string{print(other), print(ec)}},
		{name: "pinned wrongly", keys: all, pins: []string{print(other)}, want: host.KeyChanged, seen: rs},
		{name: "pinned wrongly, one type", keys: []ssh.Signer{ed}, pins: []string{print(otherRSA)}, want: host.KeyChanged, seen: ed},
		{name: "known, but pinned otherwise", keys: all, known: func(a host.Address) string { return line(a, pub(ed)) + line(a, pub(rs)) },
			pins: []string{print(other)}, want: host.KeyChanged, seen: ec},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{HostKeys: row.keys})
			a := s.Unknown("node-1")
			a.HostKeys = row.pins
			if row.known != nil {
				if err := os.WriteFile(a.KnownHostsFile, []byte(row.known(a)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := host.Dial(t.Context(), a)
			if row.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
				return
			}
			var bad *host.KeyError
			if !errors.As(err, &bad) || bad.Problem != row.want {
				t.Fatalf("got %v, want the problem %q", err, row.want)
			}
			if seen := print(row.seen); !strings.Contains(err.Error(), seen) {
				t.Errorf("the error does not name the key that was seen, %s: %v", seen, err)
			}
			wantRemedy(t, err)
			if n := s.Logins(); n != 0 {
				t.Errorf("%d attempts to log in at a host that is not believed", n)
			}
		})
	}
}

func TestHostKeyRemedies(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	a := s.Unknown("node-1")
	_, err := host.Dial(t.Context(), a)
	if r := wantRemedy(t, err); !strings.Contains(r, "kubewright trust node-1") {
		t.Errorf("remedy of an unknown key: %s", r)
	}
	a.HostKeys = []string{"MD5:00:11"}
	if _, err = host.Dial(t.Context(), a); err == nil || !strings.Contains(err.Error(), "SHA256") {
		t.Errorf("an MD5 fingerprint: %v", err)
	}
	a = s.Unknown("node-1")
	os.WriteFile(a.KnownHostsFile, []byte("node-1 ssh-ed25519 ???\n"), 0o600)
	if _, err = host.Dial(t.Context(), a); err == nil || !strings.Contains(err.Error(), "known_hosts:1") {
		t.Errorf("a known_hosts that cannot be read: %v", err)
	}
	if s.Logins() != 0 {
		t.Error("a login was tried")
	}
}

func TestTrust(t *testing.T) {
	keys := []ssh.Signer{sshtest.NewKey(t, ed25519), sshtest.NewKey(t, ecdsa), sshtest.NewKey(t, rsa)}
	s := sshtest.Start(t, sshtest.Options{HostKeys: keys})
	a := s.Unknown("node-1")
	a.KnownHostsFile = filepath.Join(t.TempDir(), "new", "known_hosts")
	learned, err := host.Trust(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if len(learned) != 3 {
		t.Fatalf("learned %d keys of 3: %v", len(learned), learned)
	}
	for i, k := range learned {
		if k.Type != keys[i].PublicKey().Type() || k.Fingerprint != ssh.FingerprintSHA256(keys[i].PublicKey()) {
			t.Errorf("key %d: %+v", i, k)
		}
	}
	if s.Logins() != 0 {
		t.Error("trust tried to log in")
	}
	if _, err := os.Stat(a.KnownHostsFile); !os.IsNotExist(err) {
		t.Error("trust wrote something by itself")
	}
	for range 2 { // the second time changes nothing
		if err := host.AppendKnownHosts(a.KnownHostsFile, learned); err != nil {
			t.Fatal(err)
		}
		text, _ := os.ReadFile(a.KnownHostsFile)
		if n := strings.Count(string(text), "\n"); n != 3 {
			t.Fatalf("%d lines:\n%s", n, text)
		}
	}
	if fi, err := os.Stat(a.KnownHostsFile); err != nil || fi.Mode() != 0o600 {
		t.Errorf("known_hosts has mode %v", fi.Mode())
	}
	c, err := host.Dial(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestTrustLearnsFromBusyHost(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	s.Fault(func(f *sshtest.Faults) { f.Drop = 2 })
	if keys, err := host.Trust(t.Context(), s.Unknown("node-1")); err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
}

func TestAppendKnownHostsRefuses(t *testing.T) {
	a := host.Address{Addr: "127.0.0.1", Port: 2222}
	mine, other, ec := sshtest.NewKey(t, ed25519), sshtest.NewKey(t, ed25519), sshtest.NewKey(t, ecdsa)
	key := func(s ssh.Signer) host.Key {
		return host.Key{Type: s.PublicKey().Type(), Fingerprint: ssh.FingerprintSHA256(s.PublicKey()), Line: strings.TrimSpace(line(a, s.PublicKey()))}
	}
	for _, row := range []struct {
		name, file string
		keys       []host.Key
		ok         bool
	}{
		{name: "a foreign line without its end", file: "# mine\n[127.0.0.1]:22 " + strings.TrimSpace(keyText(other)), keys: []host.Key{key(mine)}, ok: true},
		{name: "a further type of a host that showed its known key", file: line(a, mine.PublicKey()), keys: []host.Key{key(mine), key(ec)}, ok: true},
		{name: "another key of the same type", file: line(a, other.PublicKey()), keys: []host.Key{key(mine)}},
		{name: "another key beside a known one", file: line(a, ec.PublicKey()) + line(a, other.PublicKey()), keys: []host.Key{key(ec), key(mine)}},
		{name: "another type only", file: line(a, other.PublicKey()), keys: []host.Key{key(ec)}},
		{name: "a revoked key", file: "@revoked * " + keyText(mine), keys: []host.Key{key(mine)}},
		{name: "no key at all", keys: []host.Key{{Line: "a b c"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "known_hosts")
			os.WriteFile(path, []byte(row.file), 0o640)
			err := host.AppendKnownHosts(path, row.keys)
			text, _ := os.ReadFile(path)
			if !row.ok {
				if err == nil || string(text) != row.file {
					t.Errorf("it was accepted (%v):\n%s", err, text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), row.file) || !strings.HasSuffix(string(text), row.keys[len(row.keys)-1].Line+"\n") {
				t.Errorf("foreign lines were touched:\n%s", text)
			}
			if fi, _ := os.Stat(path); fi.Mode() != 0o640 {
				t.Errorf("the mode became %v", fi.Mode())
			}
		})
	}
}

func TestWeakAlgorithmsAreRefused(t *testing.T) {
	for _, weak := range []ssh.Config{
		{KeyExchanges: []string{ssh.InsecureKeyExchangeDH14SHA1}},
		{KeyExchanges: []string{ssh.InsecureKeyExchangeDH1SHA1}},
		{Ciphers: []string{ssh.InsecureCipherAES128CBC}},
		{Ciphers: []string{ssh.InsecureCipherTripleDESCBC}},
		{Ciphers: []string{ssh.InsecureCipherRC4256}},
		{Ciphers: []string{ssh.CipherAES128CTR}, MACs: []string{ssh.HMACSHA256}},
		{Ciphers: []string{ssh.CipherAES128CTR}, MACs: []string{ssh.HMACSHA1}},
	} {
		s := sshtest.Start(t, sshtest.Options{Algorithms: weak})
		_, err := host.Dial(t.Context(), s.Address("node-1"))
		if err == nil || !strings.Contains(err.Error(), "agree on encryption") {
			t.Errorf("%v: %v", weak, err)
			continue
		}
		wantRemedy(t, err)
		if s.Logins() != 0 {
			t.Errorf("%v: a login was tried", weak)
		}
	}
	s := sshtest.Start(t, sshtest.Options{Algorithms: ssh.Config{Ciphers: []string{ssh.CipherAES128CTR}, MACs: []string{ssh.HMACSHA256ETM}}})
	if c, err := host.Dial(t.Context(), s.Address("node-1")); err != nil {
		t.Errorf("encrypt-then-MAC: %v", err)
	} else {
		c.Close()
	}
}

func keyText(s ssh.Signer) string { return string(ssh.MarshalAuthorizedKey(s.PublicKey())) }

// certified is a host key with a certificate.
func certified(t *testing.T, ca, key ssh.Signer) ssh.Signer {
	t.Helper()
	cert := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantRemedy returns the remedy of an error, which every error must have.
func wantRemedy(t *testing.T, err error) string {
	t.Helper()
	var e *host.Error
	if !errors.As(err, &e) || e.Host != "node-1" || e.Op == "" || e.Remedy == "" {
		t.Errorf("not a complete error: %#v", err)
		return ""
	}
	return e.Remedy
}

func dial(t *testing.T, s *sshtest.Server, opts ...host.Option) *host.Conn {
	t.Helper()
	c, err := host.Dial(context.Background(), s.Address("node-1"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
