package ops

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pki"
)

func TestDecodeRefuses(t *testing.T) {
	for name, row := range map[string]struct{ data, says string }{
		"an unknown kind":        {`{"kind":"shell","op":{}}`, `"shell"`},
		"an unknown field":       {`{"kind":"file","op":{"path":"/x","exec":"rm"}}`, `"exec"`},
		"an unknown outer field": {`{"kind":"file","op":{},"sudo":true}`, `"sudo"`},
		"two ops":                {`{"kind":"swap","op":{}}{"kind":"swap","op":{}}`, "more after"},
		"half an op":             {`{"kind":"file","op":{"path":`, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			if op, err := Decode([]byte(row.data)); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v, %v; want an error about %s", op, err, row.says)
			}
		})
	}
}

func TestText(t *testing.T) {
	for name, row := range map[string]struct {
		op   Op
		want string
	}{
		"a file":             {File{Path: "/x", Content: []byte("a\nb\n"), Mode: 0o644}, "owner: 0:0\nmode: 0644\n\na\nb\n"},
		"a file without end": {File{Path: "/x", Content: []byte("a"), Mode: 0o644}, "owner: 0:0\nmode: 0644\n\na\n\\ no newline at the end\n"},
		"a secret":           {File{Path: "/x", Content: []byte("a"), Mode: 0o600, Secret: true}, "owner: 0:0\nmode: 0600\ncontent: " + digestOf([]byte("a")) + "\n"},
		"a key by accident":  {File{Path: "/x", Content: []byte("-----BEGIN EC PRIVATE KEY-----\nx"), Mode: 0o600}, "owner: 0:0\nmode: 0600\ncontent: " + digestOf([]byte("-----BEGIN EC PRIVATE KEY-----\nx")) + "\n"},
		"nothing":            {Kubeconfig{Path: "/x", Absent: true}, "absent\n"},
		"a unit":             {Unit{Name: "kubelet.service", Enabled: true, Active: true, Inputs: "ab"}, "name: kubelet.service\nenabled: true\nactive: true\ninputs: ab\n"},
		"an authority later": {Trust{Name: "kubernetes", Path: "/x"}, "authority: kubernetes\ncertificate: known after apply\n"},
		"a block":            {Block{Path: "/etc/hosts", Lines: []string{"a", "b"}}, "a\nb\n"},
		"a firewall":         {Firewalld{Zone: "public", Ports: []string{"1/tcp", "2/udp"}}, "zone: public\nports: 1/tcp, 2/udp\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Text(row.op); got != row.want {
				t.Errorf("got\n%swant\n%s", got, row.want)
			}
		})
	}
	if !Secret(File{Secret: true}) || Secret(File{Content: []byte("x")}) || len(Masked(File{Secret: true, Content: []byte("x")}).(File).Content) > 0 {
		t.Error("what is secret is not masked, or what is not is")
	}
}

func TestEqualComparesWhatTheWishCaresAbout(t *testing.T) {
	text := []byte("x")
	for name, row := range map[string]struct {
		wish, seen Op
		want       bool
	}{
		"content and its digest":         {File{Path: "/x", Content: text}, File{Path: "/x", Digest: digestOf(text)}, true},
		"another source":                 {File{Path: "/x", Digest: "sha256:a", From: "https://a"}, File{Path: "/x", Digest: "sha256:a"}, true},
		"another mode":                   {File{Path: "/x", Content: text, Mode: 0o600}, File{Path: "/x", Content: text}, false},
		"absent, whatever else":          {File{Path: "/x", Absent: true}, File{Path: "/x", Absent: true, Mode: 1}, true},
		"another thing":                  {File{Path: "/x"}, File{Path: "/y"}, false},
		"another kind":                   {File{Path: "/x"}, Dir{Path: "/x"}, false},
		"inputs nobody asked for":        {Unit{Name: "u", Active: true}, Unit{Name: "u", Active: true, Inputs: "x"}, true},
		"other inputs":                   {Unit{Name: "u", Active: true, Inputs: "y"}, Unit{Name: "u", Active: true, Inputs: "x"}, false},
		"blanks for tabs":                {Sysctl{Name: "a.b", Value: "1 2"}, Sysctl{Name: "a.b", Value: "1\t2"}, true},
		"a directory that is not ours":   {Dir{Path: "/x", Owned: true}, Dir{Path: "/x", Empty: true}, false},
		"a directory of ours, full":      {Dir{Path: "/x", Owned: true}, Dir{Path: "/x", Owned: true}, true},
		"a directory that shall be bare": {Dir{Path: "/x", Empty: true}, Dir{Path: "/x"}, false},
		"a server that answers by now":   {Probe{Name: "p"}, Probe{Name: "p", OK: true}, true},
		"a server that does not":         {Probe{Name: "p", OK: true}, Probe{Name: "p"}, false},
		"a module somebody needs by now": {Module{Name: "x"}, Module{Name: "x", Loaded: true, Busy: true}, true},
		"priorities the kernel chose":    {Swap{Areas: []string{"/a -2"}}, Swap{Areas: []string{"/a -3"}}, true},
		"priorities that were asked for": {Swap{Areas: []string{"/a 5"}}, Swap{Areas: []string{"/a 6"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Equal(row.wish, row.seen); got != row.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestObserveErrors(t *testing.T) {
	for name, row := range map[string]struct {
		op   Op
		with func(*testing.T, *world)
		says string
	}{
		"a directory where a file should be": {File{Path: "/etc"}, nil, "not a file"},
		"a file where a directory should be": {Dir{Path: "/etc/x"}, file("/etc/x", "", 0o644), "not a directory"},
		"a directory where a link should be": {Symlink{Path: "/etc"}, nil, "not a link"},
		"a block that does not end":          {Block{Path: "/etc/h", Name: "n"}, file("/etc/h", "# BEGIN kubewright n\nx\n", 0o644), "not the one that ends it"},
		"a block that ends twice":            {Block{Path: "/etc/h", Name: "n"}, file("/etc/h", "# BEGIN kubewright n\n# END kubewright n\n# END kubewright n\n", 0o644), "too many"},
		"a block that begins twice":          {Block{Path: "/etc/h", Name: "n"}, file("/etc/h", "# BEGIN kubewright n\n# BEGIN kubewright n\n# END kubewright n\n", 0o644), "two marks"},
		"an authority without its key":       {ourCA, withCA, "a certificate without its key"},
		"a key without its authority":        {ourCA, file(keyPath, "x", 0o600), "a key without its certificate"},
		"another authority":                  {Authority{Name: "e", Cert: caPath, KeyFile: keyPath, CommonName: "etcd-ca"}, withPair, `"etcd-ca"`},
		"an authority with a damaged key":    {ourCA, func(t *testing.T, w *world) { withCA(t, w); w.write(t, keyPath, "x", 0o600) }, "no private key"},
		"a public key without its private":   {KeyPair{Private: "/etc/sa.key", Public: "/etc/sa.pub"}, file("/etc/sa.pub", "x", 0o644), "without its private key /etc/sa.key"},
		"a repository that climbs":           {Stored{Repository: "../../x", Digest: "sha256:a"}, nil, "does not name"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if row.with != nil {
				row.with(t, w)
			}
			if seen, err := row.op.Observe(t.Context(), w); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %+v, %v; want an error about %s", seen, err, row.says)
			}
		})
	}
}

var ourCA = Authority{Name: "kubernetes", Cert: caPath, KeyFile: keyPath, CommonName: "kubernetes"}

func withPair(t *testing.T, w *world) {
	withCA(t, w)
	w.write(t, keyPath, string(w.caKey), 0o600)
}

func TestAnAuthorityIsKeptForEver(t *testing.T) {
	w := newWorld(t)
	withPair(t, w)
	before := w.snapshot(t)
	if err := ourCA.Set(t.Context(), w, ourCA); err != nil {
		t.Fatal(err)
	}
	w.Clock = testNow.AddDate(11, 0, 0)
	seen := observe(t, w, ourCA)
	if Equal(ourCA, seen) || !seen.(Authority).Expired {
		t.Errorf("eleven years later it is %+v", seen)
	}
	if err := ourCA.Set(t.Context(), w, seen); !errors.Is(err, pki.ErrExpired) {
		t.Errorf("setting an expired authority: %v", err)
	}
	if now := w.snapshot(t); now != before {
		t.Errorf("it was made anew\n%s", differing(before, now))
	}
}

func TestACertificateIsRenewedWithItsKey(t *testing.T) {
	w := newWorld(t)
	withCA(t, w)
	c := Certificate{Request: leaf, Cert: "/etc/a.crt", KeyFile: "/etc/a.key", Authority: "kubernetes", CACert: caPath}
	if err := set(t, w, c); err != nil {
		t.Fatal(err)
	}
	key, _ := os.ReadFile(w.Path("/etc/a.key"))
	longer := c
	longer.DNSNames = []string{"node-1", "api.example"}
	if seen := observe(t, w, longer).(Certificate); seen.Stale != "the DNS names changed" {
		t.Errorf("it is stale because %q", seen.Stale)
	}
	w.Clock = testNow.AddDate(0, 11, 0)
	if seen := observe(t, w, c).(Certificate); seen.Stale != "it expires soon" {
		t.Errorf("it is stale because %q", seen.Stale)
	}
	w.Answer = func(_ context.Context, q Question) ([]byte, error) {
		return pki.Sign(w.ca, w.caKey, q.Data, c.Request, w.Clock)
	}
	if err := set(t, w, c); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(w.Path("/etc/a.key")); string(again) != string(key) {
		t.Error("the key was not used again")
	}
	// An authority that signs something else is not believed.
	other := leaf
	other.Usages = []pki.Usage{pki.ClientAuth}
	w.Answer = func(_ context.Context, q Question) ([]byte, error) {
		return pki.Sign(w.ca, w.caKey, q.Data, other, w.Clock)
	}
	before := w.snapshot(t)
	c.Cert, c.KeyFile = "/etc/b.crt", "/etc/b.key"
	if err := set(t, w, c); err == nil || !strings.Contains(err.Error(), "usages changed") {
		t.Errorf("another certificate than was asked for: %v", err)
	}
	if now := w.snapshot(t); now != before {
		t.Errorf("it was written\n%s", differing(before, now))
	}
}

func TestATrustMadeBeforeItsAuthorityAsksOnce(t *testing.T) {
	w := newWorld(t)
	w.write(t, caPath, "an earlier authority", 0o644)
	wish := Trust{Name: "kubernetes", Path: caPath}
	for range 2 {
		if err := set(t, w, wish); err != nil {
			t.Fatal(err)
		}
	}
	if !Equal(wish, observe(t, w, wish)) || !Equal(Trust{Name: "kubernetes", Path: caPath, PEM: w.ca}, observe(t, w, Trust{Name: "kubernetes", Path: caPath, PEM: w.ca})) {
		t.Error("what was told is not there")
	}
	w.write(t, caPath, "changed by somebody", 0o644)
	if Equal(wish, observe(t, w, wish)) {
		t.Error("a change is not seen")
	}
}

func TestAUnitRestartsWhenWhatItReadsChanged(t *testing.T) {
	w := newWorld(t)
	starts := 0
	w.OnUnit("kubelet.service", func(active bool) {
		if active {
			starts++
		}
	})
	unit := func(inputs string) Unit { return Unit{Name: "kubelet.service", Active: true, Inputs: inputs} }
	for i, row := range []struct {
		inputs string
		starts int
	}{{"one", 1}, {"one", 1}, {"two", 2}} {
		w.write(t, "/etc/systemd/system/kubelet.service", "[Service]\nEnvironment="+InputsVar+"="+row.inputs+"\n", 0o644)
		if err := set(t, w, unit(row.inputs)); err != nil {
			t.Fatal(err)
		}
		if starts != row.starts {
			t.Errorf("step %d: started %d times, want %d", i, starts, row.starts)
		}
	}
}

func TestAUnitThatFailsIsStoppedByUndo(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/etc/systemd/system/kubelet.service", "[Service]\n", 0o644)
	w.Break("kubelet.service", errors.New("status 1"))
	wish := Unit{Name: "kubelet.service", Active: true}
	first := observe(t, w, wish)
	if err := set(t, w, wish); err == nil || !strings.Contains(err.Error(), "kubelet.service did not start: status 1") {
		t.Fatalf("got %v", err)
	}
	seen := observe(t, w, wish)
	if Equal(first, seen) {
		t.Errorf("a unit that is tried again and again counts as at rest: %+v", seen)
	}
	if err := undo(t, w, first, wish); err != nil || !Equal(first, observe(t, w, wish)) {
		t.Errorf("it is not at rest: %v", err)
	}
}

func TestPathsOfKernelParameters(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward":           "/proc/sys/net/ipv4/ip_forward",
		"net/ipv4/conf/eth0.1/rp":       "/proc/sys/net/ipv4/conf/eth0.1/rp",
		"net.ipv4.conf.eth0/1.rp":       "/proc/sys/net/ipv4/conf/eth0.1/rp",
		"vm.overcommit_memory":          "/proc/sys/vm/overcommit_memory",
		"kernel/panic":                  "/proc/sys/kernel/panic",
		"net.bridge.bridge-nf-call-ip6": "/proc/sys/net/bridge/bridge-nf-call-ip6",
	} {
		if got := (Sysctl{Name: name}).path(); got != want {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestDownload(t *testing.T) {
	for name, row := range map[string]struct {
		answers []func(http.ResponseWriter) // one a request, the last for ever
		says    string
		asked   int
	}{
		"at once":          {[]func(http.ResponseWriter){whole}, "", 1},
		"after a hiccup":   {[]func(http.ResponseWriter){status(503), cut, whole}, "", 3},
		"other bytes":      {[]func(http.ResponseWriter){func(w http.ResponseWriter) { _, _ = w.Write([]byte("evil")) }}, "want " + digestOf(blob) + ", got " + digestOf([]byte("evil")), 1},
		"nothing there":    {[]func(http.ResponseWriter){status(404)}, "404", 1},
		"pointing astray":  {[]func(http.ResponseWriter){astray}, "302", 1},
		"not in six times": {[]func(http.ResponseWriter){status(503)}, "503", 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked++
				row.answers[min(asked, len(row.answers))-1](w)
			}))
			defer server.Close()
			dir := t.TempDir()
			ca := filepath.Join(dir, "ca.crt")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644); err != nil {
				t.Fatal(err)
			}
			m := real{NewHost(dir, nil)}
			f := File{Path: filepath.Join(dir, "sub", "program"), Digest: digestOf(blob), From: server.URL + "/blob", CA: ca, Mode: 0o755, UID: os.Getuid(), GID: os.Getgid()}
			err := f.Set(t.Context(), m, File{Path: f.Path, Absent: true})
			if row.says == "" {
				seen, lookErr := f.Observe(t.Context(), m)
				if err != nil || lookErr != nil || !Equal(f, seen) {
					t.Errorf("got %v; it is %+v, %v", err, seen, lookErr)
				}
			} else {
				if err == nil || !strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), server.URL) {
					t.Errorf("got %v; want an error about %q", err, row.says)
				}
				if left, _ := os.ReadDir(filepath.Join(dir, "sub")); len(left) > 0 {
					t.Errorf("it left %v", left)
				}
			}
			if asked != row.asked {
				t.Errorf("asked %d times, want %d", asked, row.asked)
			}
		})
	}
}

// real is the host itself without what only root may do.
type real struct{ Machine }

func whole(w http.ResponseWriter) { _, _ = w.Write(blob) }
func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

func cut(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "1000000")
	_, _ = w.Write(blob[:100])
}

func astray(w http.ResponseWriter) {
	w.Header().Set("Location", "http://elsewhere.invalid/")
	w.WriteHeader(http.StatusFound)
}

func TestDownloadTrustsOneAuthorityOnly(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { whole(w) }))
	defer server.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, testAuthority[0], 0o644); err != nil {
		t.Fatal(err)
	}
	f := File{Path: filepath.Join(dir, "x"), Digest: digestOf(blob), From: server.URL, CA: ca, Mode: 0o644, UID: os.Getuid(), GID: os.Getgid()}
	var untrusted *tls.CertificateVerificationError
	if err := f.Set(t.Context(), real{NewHost(dir, nil)}, nil); !errors.As(err, &untrusted) {
		t.Errorf("got %v", err)
	}
	f.From = "http://" + strings.TrimPrefix(server.URL, "https://")
	if err := f.Set(t.Context(), real{NewHost(dir, nil)}, nil); err == nil || !strings.Contains(err.Error(), "not an https URL") {
		t.Errorf("without TLS: %v", err)
	}
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked < 4 || len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, "etcd is not ready", http.StatusInternalServerError)
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientAuth: tls.RequestClientCert}
	keyDER, _ := x509.MarshalECPrivateKey(key)
	for name, block := range map[string]*pem.Block{"ca.crt": {Type: "CERTIFICATE", Bytes: der}, "c.key": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := server.Listener.Addr().String()
	p := Probe{Name: "api", URL: "https://" + address + "/readyz", CA: dir + "/ca.crt", Cert: dir + "/ca.crt", KeyFile: dir + "/c.key", Within: 5, OK: true}
	m := NewHost(dir, nil)
	server.StartTLS()
	defer server.Close()
	if seen, err := p.Observe(t.Context(), m); err != nil || Equal(p, seen) {
		t.Fatalf("before it is ready: %+v %v", seen, err)
	}
	if err := p.Set(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if seen, err := p.Observe(t.Context(), m); err != nil || !Equal(p, seen) {
		t.Fatalf("once it is ready: %+v %v", seen, err)
	}
	p.Within, p.Cert = 1, ""
	if err := p.Set(t.Context(), m, nil); err == nil || !strings.Contains(err.Error(), "not ready within 1s") || !strings.Contains(err.Error(), "etcd is not ready") {
		t.Errorf("a server that stays unwell: %v", err)
	}
}

func TestNoSymlinkIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/etc/victim", "theirs", 0o644)
	symlink(t, w, "victim", "/etc/.x.kubewright") // planted where the new bytes will be written
	symlink(t, w, "victim", "/etc/x")
	if err := set(t, w, File{Path: "/etc/x", Content: []byte("ours"), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(w.Path("/etc/victim")); string(data) != "theirs" {
		t.Error("the file behind a link was written")
	}
	if _, err := (Authority{Name: "x", Cert: "/etc/l", KeyFile: "/etc/k"}).Observe(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	symlink(t, w, "victim", "/etc/l")
	if _, err := (Authority{Name: "x", Cert: "/etc/l", KeyFile: "/etc/k"}).Observe(t.Context(), w); err == nil {
		t.Error("an authority is read through a link")
	}
}

func TestSharedFilesBehindLinks(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/etc/real/hosts", hosts, 0o640)
	symlink(t, w, "real/hosts", "/etc/hosts")
	b := Block{Path: "/etc/hosts", Name: "n", Lines: []string{"x"}}
	if err := set(t, w, b); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(w.Path("/etc/hosts"))
	if err != nil || fi.Mode()&os.ModeSymlink == 0 || !Equal(b, observe(t, w, b)) {
		t.Error("the link was replaced, or the block is not behind it")
	}
}

func TestABlockLeavesLinesWrittenLater(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/etc/hosts", "a", 0o644)
	b := Block{Path: "/etc/hosts", Name: "n", Lines: []string{"x"}}
	first := observe(t, w, b)
	if err := set(t, w, b); err != nil {
		t.Fatal(err)
	}
	now, _ := os.ReadFile(w.Path("/etc/hosts"))
	w.write(t, "/etc/hosts", string(now)+"later\n", 0o644)
	if err := undo(t, w, first, b); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(w.Path("/etc/hosts")); string(data) != "a\nlater\n" {
		t.Errorf("got %q", data)
	}
}

func TestWhatIsNeverRemoved(t *testing.T) {
	for _, dir := range []string{"/", "/etc", "/var/lib", "/usr/local/bin", "/srv", "relative", "/var/lib/../lib", "/opt/"} {
		if safeToRemove(dir) == nil {
			t.Errorf("%s may be removed", dir)
		}
	}
	w := newWorld(t)
	w.write(t, "/opt/cni/theirs", "x", 0o644)
	err := Dir{Path: "/opt/cni", Absent: true}.Set(t.Context(), w, nil)
	if err == nil || !strings.Contains(err.Error(), "theirs") || !exists(w, "/opt/cni/theirs") {
		t.Errorf("a directory with something of others: %v", err)
	}
	if err := os.Symlink("/etc", w.Path("/var/lib/etcd")); err != nil {
		t.Fatal(err)
	}
	w.write(t, Dir{Path: "/var/lib/etcd"}.mark(w), "", 0o600)
	if err := (Dir{Path: "/var/lib/etcd", Absent: true}).Set(t.Context(), w, nil); err == nil {
		t.Error("a link was taken for a directory of ours")
	}
	if err := (Dir{Path: "/var/lib/etcd", Empty: true}).Set(t.Context(), w, nil); err == nil {
		t.Error("a link out of the machine was followed")
	}
}

func TestChainsAreTakenOutOfWhatIptablesSaved(t *testing.T) {
	saved := "# Generated\n*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-X - [0:0]\n:THEIRS - [0:0]\n" +
		"-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n-A PREROUTING -j THEIRS\n-A KUBE-SERVICES -j KUBE-SVC-X\n" +
		"-A THEIRS -m comment --comment \"not -j KUBE-SERVICES\" -g KUBE-SVC-X\nCOMMIT\n"
	want := "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-X - [0:0]\n" +
		"-D PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n-D THEIRS -m comment --comment \"not -j KUBE-SERVICES\" -g KUBE-SVC-X\n" +
		"-X KUBE-SERVICES\n-X KUBE-SVC-X\nCOMMIT\n"
	w := newWorld(t)
	w.write(t, "/usr/sbin/iptables-nft-save", "", 0o755)
	w.write(t, "/usr/sbin/iptables-nft-restore", "", 0o755)
	w.write(t, "/proc/self/mountinfo", "", 0o644)
	now := "*nat\n:PREROUTING ACCEPT [0:0]\n:THEIRS - [0:0]\nCOMMIT\n"
	restored := ""
	w.Handle("iptables-nft-save", func([]string) ([]byte, error) { return []byte(now), nil })
	w.Handle("iptables-nft-restore", func(argv []string) ([]byte, error) {
		data, err := os.ReadFile(argv[len(argv)-1])
		restored, now = string(data), "*nat\n:PREROUTING ACCEPT [0:0]\n:THEIRS - [0:0]\n-A PREROUTING -j THEIRS\nCOMMIT\n"
		return nil, err
	})
	claim := Claim{Chains: []string{"KUBE-"}, Held: true}
	first := observe(t, w, claim)
	if err := set(t, w, claim); err != nil {
		t.Fatal(err)
	}
	now = saved
	w.Grow(nil, []string{"ip nat", "ip filter"}, false)
	w.rulesets = map[string]ruleset{"ip nat": {chains: []nftChain{{name: "THEIRS"}}}}
	if err := undo(t, w, first, claim); err != nil {
		t.Fatal(err)
	}
	if restored != want {
		t.Errorf("got\n%s\nwant\n%s", restored, want)
	}
	if tables, _ := w.Tables(); strings.Join(tables, ",") != "ip nat" {
		t.Errorf("the tables %v are left; only the one with somebody's rule should be", tables)
	}
}

func TestAClaimGrows(t *testing.T) {
	w := newWorld(t)
	w.Grow([]string{"cni0"}, nil, false)
	small, large := Claim{Links: []string{"cni0"}, Held: true}, Claim{Links: []string{"cni0", "flannel.1"}, Held: true}
	first := observe(t, w, small)
	if err := set(t, w, small); err != nil {
		t.Fatal(err)
	}
	if Equal(large, observe(t, w, large)) {
		t.Error("a larger claim is held already")
	}
	if err := set(t, w, large); err != nil {
		t.Fatal(err)
	}
	w.Grow([]string{"flannel.1"}, nil, false)
	if err := undo(t, w, first, large); err != nil {
		t.Fatal(err)
	}
	if links, _ := w.Links(); strings.Join(links, ",") != "cni0" {
		t.Errorf("the links %v are left", links)
	}
}

// TestRoutesIntoARange: those of the range go with the claim, and whoever had one there before keeps it.
func TestRoutesIntoARange(t *testing.T) {
	w := newWorld(t)
	const theirs, other = "10.244.9.0/24 via 192.168.1.9", "10.245.0.0/16 via 192.168.1.9"
	w.Lead(theirs, other)
	claim := Claim{Routes: []string{"10.244.0.0/16"}, Held: true}
	first := observe(t, w, claim)
	if err := set(t, w, claim); err != nil {
		t.Fatal(err)
	}
	w.Lead("10.244.1.0/24 via 192.168.1.31", "10.244.0.0/16", "10.0.0.0/8 via 192.168.1.1", "somewhere")
	if err := undo(t, w, first, claim); err != nil {
		t.Fatal(err)
	}
	if routes, _ := w.Routes(); strings.Join(routes, ", ") != theirs+", "+other+", 10.0.0.0/8 via 192.168.1.1, somewhere" {
		t.Errorf("left are %v", routes)
	}
}

func TestRunSaysWhatAToolSaid(t *testing.T) {
	m := NewHost(t.TempDir(), nil)
	_, err := m.Run(t.Context(), "ls", "/no/such/file")
	if err == nil || !strings.Contains(err.Error(), "/no/such/file") || LastLines(err) == "" {
		t.Errorf("got %v, last %q", err, LastLines(err))
	}
	if out, err := m.Run(t.Context(), "env"); err != nil || strings.Contains(string(out), "GO") || !strings.Contains(string(out), "LC_ALL=C") {
		t.Errorf("the environment is %s, %v", out, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := m.Run(ctx, "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestASwapPriorityStays(t *testing.T) {
	if name, priority := splitArea("/swap file 12"); name != "/swap file" || priority != 12 {
		t.Errorf("got %q %d", name, priority)
	}
}
