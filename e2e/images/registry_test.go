//go:build e2e

package images

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/kubewright/kubewright/bundle"
)

const user, password = "course", "a-password-that-nobody-prints"

// registry is distribution's own program from the bundle.
type registry struct {
	address string
	root    string // where it stores
	cmd     *exec.Cmd
	config  string
}

// serve starts one; with a certificate it serves TLS and wants the user.
func serve(t *testing.T, program string, cert, key string) *registry {
	t.Helper()
	dir := t.TempDir()
	r := &registry{address: free(t), root: filepath.Join(dir, "store"), config: filepath.Join(dir, "config.yaml")}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp:\n  addr: %s\n", r.root, r.address)
	if cert != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "htpasswd"), []byte(user+":"+string(hash)+"\n"), 0o600))
		config += fmt.Sprintf("  tls: {certificate: %s, key: %s}\nauth: {htpasswd: {realm: course, path: %s}}\n", cert, key, filepath.Join(dir, "htpasswd"))
	}
	must(t, os.WriteFile(r.config, []byte(config), 0o600))
	r.cmd = exec.Command(program, "serve", r.config)
	r.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	logged, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	defer logged.Close()
	r.cmd.Stdout, r.cmd.Stderr = logged, logged
	must(t, r.cmd.Start())
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", r.address)
		if err == nil {
			c.Close()
			return r
		}
		if time.Now().After(end) {
			t.Fatalf("the registry does not listen: %v", err)
		}
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// extract takes the registry's program out of the bundle.
func extract(t *testing.T, b *bundle.Bundle) string {
	t.Helper()
	c, err := b.Lock.File("registry")
	must(t, err)
	r, err := b.Blob(c.Digest)
	must(t, err)
	defer r.Close()
	name := filepath.Join(t.TempDir(), "registry")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(f, r)
	must(t, err)
	must(t, f.Close())
	return name
}

// authority makes a CA and a certificate of it for loopback, valid until then, for that name.
func authority(t *testing.T, until time.Time, ip string) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a private authority"}, NotBefore: time.Now().Add(-48 * time.Hour),
		NotAfter: time.Now().Add(48 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &caKey.PublicKey, caKey)
	must(t, err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "registry"}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.ParseIP(ip)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, caKey)
	must(t, err)
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	must(t, err)
	ca, cert, key = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for _, f := range []struct {
		name, kind string
		der        []byte
	}{{ca, "CERTIFICATE", rootDER}, {cert, "CERTIFICATE", leafDER}, {key, "EC PRIVATE KEY", keyDER}} {
		must(t, os.WriteFile(f.name, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600))
	}
	return ca, cert, key
}

// wire is a way to a registry that counts bytes, and can be cut after so many.
type wire struct {
	address string
	to      string
	down    atomic.Int64 // from the registry
	up      atomic.Int64
	left    atomic.Int64 // until it is cut, for good; negative: never
	dead    atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &wire{address: l.Addr().String(), to: to}
	w.left.Store(-1)
	t.Cleanup(func() { l.Close(); w.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if w.dead.Load() {
				c.Close()
				continue
			}
			go w.carry(c)
		}
	}()
	return w
}

func (w *wire) cut() {
	w.dead.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *wire) mend() { w.left.Store(-1); w.down.Store(0); w.up.Store(0); w.dead.Store(false) }

func (w *wire) carry(c net.Conn) {
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		c.Close()
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, c, far)
	w.mu.Unlock()
	go func() { w.pipe(far, c, &w.up); far.Close(); c.Close() }()
	w.pipe(c, far, &w.down)
	far.Close()
	c.Close()
}

func (w *wire) pipe(to io.Writer, from io.Reader, count *atomic.Int64) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		count.Add(int64(n))
		if left := w.left.Load(); left >= 0 && w.left.Add(-int64(n)) < 0 {
			w.cut()
			return
		}
		if _, also := to.Write(buf[:n]); err != nil || also != nil {
			return
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
