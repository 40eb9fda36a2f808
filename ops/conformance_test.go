package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pki"
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a pretend machine with an authority at hand and a registry that serves one blob.
type world struct {
	*Pretend
	docker    *PretendDocker // after withDocker
	ca, caKey []byte
}

var blob = bytes.Repeat([]byte("a program\n"), 5000)

var testAuthority = func() [2][]byte {
	cert, key, err := pki.NewAuthority("kubernetes", testNow)
	if err != nil {
		panic(err)
	}
	return [2][]byte{cert, key}
}()

var (
	leaf = pki.Request{CommonName: "kube-apiserver", DNSNames: []string{"node-1"}, Usages: []pki.Usage{pki.ServerAuth}, Days: 365}
	user = pki.Request{CommonName: "system:node:n1", Organization: []string{"system:nodes"}, Usages: []pki.Usage{pki.ClientAuth}, Days: 365}
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Pretend: NewPretend(t.TempDir()), ca: testAuthority[0], caKey: testAuthority[1]}
	w.Clock = testNow
	w.Answer = func(_ context.Context, q Question) ([]byte, error) {
		switch q.Kind {
		case AskSign:
			for _, r := range []pki.Request{leaf, user} {
				if cert, err := pki.Sign(w.ca, w.caKey, q.Data, r, testNow); err == nil {
					return cert, nil
				}
			}
			return nil, errors.New("not in the plan")
		case AskCA:
			return w.ca, nil
		case AskBlob:
			w.write(t, StateDir+"/blobs/"+strings.TrimPrefix(digestOf(blob), "sha256:"), string(blob), 0o600)
			return nil, nil
		case AskPush:
			w.write(t, "/var/lib/registry/docker/registry/v2/repositories/pause/_manifests/revisions/sha256/aa/link", "sha256:aa", 0o644)
			return nil, nil
		}
		return nil, errors.New("no such question")
	}
	w.Serve("https://registry:5000/v2/blob", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(blob) }))
	return w
}

func (w *world) write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	real := w.Path(name)
	if err := os.MkdirAll(filepath.Dir(real), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(real, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(real, mode); err != nil {
		t.Fatal(err)
	}
}

func (w *world) snapshot(t *testing.T) string {
	t.Helper()
	s, err := w.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shape is a snapshot without the digests of what is random.
func (w *world) shape(t *testing.T) string {
	return regexp.MustCompile(`sha256:[0-9a-f]{64}`).ReplaceAllString(w.snapshot(t), "-")
}

type specimen struct {
	name string
	wish Op
	with func(*testing.T, *world) // what the machine holds before
	grow func(*testing.T, *world) // what happens after the wish was set, and undo must undo too
}

const (
	hosts   = "127.0.0.1 localhost\n"
	caPath  = "/etc/kubernetes/pki/ca.crt"
	keyPath = "/etc/kubernetes/pki/ca.key"
	someTxt = "hello\n"
)

func file(name, content string, mode os.FileMode) func(*testing.T, *world) {
	return func(t *testing.T, w *world) { w.write(t, name, content, mode) }
}

func withCA(t *testing.T, w *world) { w.write(t, caPath, string(w.ca), 0o644) }

func specimens() []specimen {
	service := "[Service]\nEnvironment=\"KUBEWRIGHT_INPUTS=abc\"\nExecStart=/bin/true\n"
	return append(slices.Concat(mergeSpecimens(), fstabSpecimens(), exportsSpecimens(), packageSpecimens(), dnfSpecimens(), accountSpecimens()), []specimen{
		{name: "a file in directories that are not there", wish: File{Path: "/etc/a/b/c.conf", Content: []byte(someTxt), Mode: 0o640}},
		{name: "an empty file", wish: File{Path: "/etc/empty", Mode: 0o644}},
		{name: "a file with other bytes", wish: File{Path: "/etc/x", Content: []byte(someTxt), Mode: 0o644}, with: file("/etc/x", "old", 0o600)},
		{name: "a file with another mode", wish: File{Path: "/etc/x", Content: []byte(someTxt), Mode: 0o755}, with: file("/etc/x", someTxt, 0o600)},
		{name: "a file that shall go", wish: File{Path: "/etc/x", Absent: true}, with: file("/etc/x", someTxt, 0o4755)},
		{name: "a file in place of a link", wish: File{Path: "/etc/x", Content: []byte(someTxt), Mode: 0o644},
			with: func(t *testing.T, w *world) { symlink(t, w, "/nowhere", "/etc/x") }},
		{name: "a secret file", wish: File{Path: "/etc/s/key", Content: []byte("secret"), Mode: 0o600, Secret: true}},
		{name: "a program from the registry", wish: File{Path: "/usr/local/bin/kubelet", Digest: digestOf(blob), From: "https://registry:5000/v2/blob", CA: caPath, Mode: 0o755}, with: withCA},
		{name: "a program from the workstation", wish: File{Path: "/usr/local/bin/registry", Digest: digestOf(blob), From: FromWorkstation, Mode: 0o755}},
		{name: "a directory", wish: Dir{Path: "/opt/cni/bin", Mode: 0o755}},
		{name: "a directory with another mode", wish: Dir{Path: "/opt/cni", Mode: 0o700}, with: file("/opt/cni/theirs", "x", 0o644)},
		{name: "a directory of ours, that others fill", wish: Dir{Path: "/var/lib/kubelet", Mode: 0o700, Owned: true},
			grow: func(t *testing.T, w *world) {
				w.write(t, "/var/lib/kubelet/pods/1/volumes/x", "x", 0o400)
				symlink(t, w, "/etc", "/var/lib/kubelet/link")
				w.write(t, "/proc/self/mountinfo", "1 0 0:1 / / rw - x x x\n2 1 0:2 / /var/lib/kubelet/pods/1 rw - x x x\n", 0o644)
			},
			with: file("/proc/self/mountinfo", "1 0 0:1 / / rw - x x x\n", 0o644)},
		{name: "a directory that was there, empty and right", wish: Dir{Path: "/var/lib/etcd", Mode: 0o755, Owned: true},
			with: func(t *testing.T, w *world) { w.write(t, "/var/lib/etcd/lost+found/x", "x", 0o600) },
			grow: file("/var/lib/etcd/member/wal/0", "x", 0o600)},
		{name: "a directory that was there and holds something", wish: Dir{Path: "/var/lib/cni", Mode: 0o700, Owned: true}, with: file("/var/lib/cni/theirs", "x", 0o644)},
		{name: "a link", wish: Symlink{Path: "/etc/systemd/system/dev-sda.swap", Target: "/dev/null"}},
		{name: "a link to elsewhere", wish: Symlink{Path: "/etc/l", Target: "b"}, with: func(t *testing.T, w *world) { symlink(t, w, "a", "/etc/l") }},
		{name: "a block in a file", wish: Block{Path: "/etc/hosts", Name: "hosts", Lines: []string{"10.0.0.1 a", "10.0.0.2 b"}}, with: file("/etc/hosts", hosts, 0o644)},
		{name: "a block in a file without an end", wish: Block{Path: "/etc/hosts", Name: "hosts", Lines: []string{"10.0.0.1 a"}}, with: file("/etc/hosts", "127.0.0.1 localhost", 0o600)},
		{name: "a block in a file from Windows", wish: Block{Path: "/etc/hosts", Name: "hosts", Lines: []string{"10.0.0.1 a"}}, with: file("/etc/hosts", "a\r\nb\r\n", 0o644)},
		{name: "a block in no file", wish: Block{Path: "/etc/new/hosts", Name: "hosts", Lines: []string{"x"}}},
		{name: "a block that shall change", wish: Block{Path: "/etc/hosts", Name: "hosts", Lines: []string{"new"}},
			with: file("/etc/hosts", "before\n# BEGIN kubewright hosts\nold\n# END kubewright hosts\nafter", 0o644)},
		{name: "a kernel parameter", wish: Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}, with: file("/proc/sys/net/ipv4/ip_forward", "0\n", 0o644)},
		{name: "a kernel parameter of several", wish: Sysctl{Name: "net.ipv4.ip_local_port_range", Value: "1024 65000"},
			with: file("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n", 0o644)},
		{name: "a module", wish: Module{Name: "br-netfilter", Loaded: true}, with: file("/sys/module/other/x", "", 0o644)},
		{name: "swap", wish: Swap{}, with: file("/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2\tpartition\t1024\t0\t7\n", 0o644)},
		{name: "a unit", wish: Unit{Name: "kubelet.service", Enabled: true, Active: true, Inputs: "abc", KillAll: true}, with: file("/etc/systemd/system/kubelet.service", service, 0o644)},
		{name: "a unit that shall stop", wish: Unit{Name: "ufw.service"}, with: func(_ *testing.T, w *world) { w.Give("ufw.service", UnitState{Enabled: true, Active: true}) }},
		{name: "an open port", wish: Firewalld{Zone: "public", Ports: []string{"6443/tcp", "22/tcp"}, Rules: []string{RichRule("10.0.0.1", "10250", "tcp")}},
			with: func(t *testing.T, w *world) {
				for _, permanent := range []bool{true, false} {
					_ = w.Change(context.Background(), FirewallEntry{Zone: "public", Port: "22/tcp", Permanent: permanent}, true)
				}
			}},
		{name: "trusted sources alone", wish: Firewalld{Zone: "trusted", Sources: []string{"10.0.0.1", "10.244.0.0/16"}},
			with: func(t *testing.T, w *world) {
				w.Filter(Chain{Table: firewalldTable})
				w.write(t, "/usr/lib/firewalld/zones/trusted.xml", "<zone></zone>", 0o644)
				w.write(t, "/etc/firewalld/zones/theirs.xml", "<zone/>", 0o644)
			}},
		{name: "an open port of the default zone", wish: Firewalld{Ports: []string{"6443/tcp"}}},
		{name: "rules at the end of a chain", wish: NFTRules{Table: "inet filter", Chain: "input", Rules: []string{"tcp dport 6443 accept", "tcp dport 10250 accept"}},
			with: func(_ *testing.T, w *world) { w.Filter(Chain{Table: "inet filter", Name: "input"}) }},
		{name: "rules at the head of a chain", wish: NFTRules{Table: "inet filter", Chain: "input", First: true, Rules: []string{"tcp dport 6443 accept", "tcp dport 10250 accept"}},
			with: func(_ *testing.T, w *world) { w.Filter(Chain{Table: "inet filter", Name: "input"}) }},
		{name: "rules of ufw", wish: UFW{Rules: []string{"allow proto tcp from 0.0.0.0/0 to 0.0.0.0/0 port 6443", "route allow from 0.0.0.0/0 to 10.244.0.0/16", "allow proto tcp from 0.0.0.0/0 to 0.0.0.0/0 port 22"}},
			with: file(ufwRules, "*filter\n### RULES ###\n\n"+ufwMark+"allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=6161\n-A rule\n\n### END RULES ###\nCOMMIT\n", 0o640)},
		{name: "an ufw that shall be off", wish: UFWSwitch{}, with: file(ufwConf, "ENABLED=yes\n", 0o644)},
		{name: "an authority", wish: Authority{Name: "kubernetes", Cert: caPath, KeyFile: keyPath, CommonName: "kubernetes"}},
		{name: "a pair of keys", wish: KeyPair{Private: "/etc/kubernetes/pki/sa.key", Public: "/etc/kubernetes/pki/sa.pub"}},
		{name: "another host's authority", wish: Trust{Name: "kubernetes", Path: caPath, PEM: testAuthority[0]}},
		{name: "an authority known after apply", wish: Trust{Name: "kubernetes", Path: caPath}},
		{name: "a certificate", wish: Certificate{Request: leaf, Cert: "/etc/kubernetes/pki/tls/a.crt", KeyFile: "/etc/kubernetes/pki/tls/a.key", Authority: "kubernetes", CACert: caPath}, with: withCA},
		{name: "a certificate that the kubelet renews", wish: Certificate{Request: user, Cert: "/var/lib/kubelet/pki/kubelet-client-current.pem", Authority: "kubernetes", CACert: caPath, Rotating: true}, with: withCA},
		{name: "a kubeconfig", wish: Kubeconfig{Path: "/etc/kubernetes/k.conf", Cluster: "kubernetes", User: "u", Server: "https://10.0.0.1:6443", CACert: caPath, Authority: "kubernetes", Request: user}, with: withCA},
		{name: "a kubelet's kubeconfig", wish: Kubeconfig{Path: "/etc/kubernetes/kubelet.conf", Cluster: "kubernetes", User: "u", Server: "https://10.0.0.1:6443", CACert: caPath, ClientFile: "/x.pem"}, with: withCA},
		{name: "an image", wish: Image{Ref: "registry:5000/pause@sha256:aa", Present: true}, with: func(t *testing.T, w *world) {
			w.write(t, ctr, "", 0o755)
			w.write(t, containerdSocket, "", 0o600)
		}},
		{name: "an image in docker", wish: Image{Ref: "registry:5000/pause@sha256:aa", Docker: true, Present: true}, with: withDocker},
		{name: "a runtime that waits to be asked", wish: Driver{Runtime: "docker", Want: "systemd", Within: 1, OK: true}, with: func(t *testing.T, w *world) {
			asked := 0
			w.ServeDocker(&PretendDocker{Running: func() bool { asked++; return asked > 3 }})
		}},
		{name: "pods that are forwarded", wish: Forward{Range: "10.244.0.0/16", Open: true}, with: withIptables("*filter\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\nCOMMIT\n")},
		{name: "pods that are forwarded without docker", wish: Forward{Range: "10.244.0.0/16", Open: true}, with: withIptables("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n")},
		{name: "a claim of docker's store", wish: Claim{Name: "docker-store", Docker: true, Held: true},
			with: func(t *testing.T, w *world) {
				withDocker(t, w)
				must(t, w.docker.Run("theirs", "old", false, "registry/old@sha256:1"))
			},
			grow: func(t *testing.T, w *world) {
				must(t, w.docker.Run("pod", "new", true, "registry/new@sha256:2"))
				must(t, w.docker.Run("pod-of-old", "old", true))
			}},
		{name: "a claim of what reads our files", wish: Claim{Name: "docker", Units: []string{"docker.service"}, Chains: []string{"DOCKER"}, Links: []string{"docker0"}, Held: true},
			with: func(t *testing.T, w *world) { w.Give("docker.service", UnitState{Active: true, Enabled: true}) }},
		{name: "a component in the registry", wish: Stored{Root: "/var/lib/registry", Repository: "pause", Digest: "sha256:aa", Component: "pause", Present: true},
			with: file("/var/lib/registry/docker/registry/v2/repositories/pause/_manifests/revisions/sha256/aa/x", "", 0o644),
			grow: func(t *testing.T, w *world) { // its directory goes with the registry's
				w.write(t, "/var/lib/registry/docker/registry/v2/repositories/pause/_manifests/revisions/sha256/aa/link", "sha256:aa", 0o644)
			}},
		{name: "a claim", wish: Claim{Links: []string{"cni0", "flannel.*"}, Tables: []string{"ip kube-proxy", "ip theirs"}, Mounts: []string{"/run/netns"}, Slices: []string{"kubepods.slice"},
			Sysctls: []string{"kernel.panic", "net.ipv4.vs.conntrack"}, Files: []string{"/run/nri", "/run/nri/nri.sock", "/run/theirs.lock", "/run/netns"}, Held: true},
			with: func(t *testing.T, w *world) {
				w.Grow([]string{"lo", "eth0", "flannel.7"}, []string{"ip theirs"}, false)
				w.write(t, "/proc/self/mountinfo", "1 0 0:1 / / rw - x x x\n2 1 0:2 / /run/netns/theirs rw - x x x\n", 0o644)
				w.write(t, "/run/netns/theirs", "", 0o444)
				w.write(t, "/run/theirs.lock", "", 0o600)
				w.write(t, "/proc/sys/kernel/panic", "0\n", 0o644)
				w.write(t, "/sys/fs/cgroup/cpuset/cpuset.cpus", "0-1\n", 0o644)
			},
			grow: func(t *testing.T, w *world) {
				w.Grow([]string{"cni0", "flannel.1", "veth1"}, []string{"ip kube-proxy"}, true)
				w.drop(&w.links, "veth1") // gone with its pod
				w.write(t, "/proc/self/mountinfo", "1 0 0:1 / / rw - x x x\n2 1 0:2 / /run/netns/theirs rw - x x x\n3 1 0:3 / /run/netns/cni-1 rw - x x x\n", 0o644)
				w.write(t, "/run/netns/cni-1", "", 0o444)
				w.Give("kubepods.slice", UnitState{Active: true})
				w.write(t, "/proc/sys/kernel/panic", "10\n", 0o644)
				w.write(t, "/run/nri/nri.sock", "", 0o755)
				if err := os.MkdirAll(w.Path("/sys/fs/cgroup/cpuset/kubepods.slice/kubepods-besteffort.slice"), 0o755); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "a claim of modules", wish: Claim{Name: "modules", Modules: []string{"nf_*", "xt_*"}, Held: true},
			with: file("/proc/modules", "nf_nat 1 0 - Live 0x0\next4 1 2 - Live 0x0\n", 0o644),
			grow: file("/proc/modules", "xt_nat 1 0 - Live 0x0\nnf_conntrack 1 1 xt_nat, Live 0x0\nnf_nat 1 0 - Live 0x0\next4 1 2 - Live 0x0\n", 0o644)},
	}...)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func withDocker(t *testing.T, w *world) {
	must(t, os.MkdirAll(w.Path("/var/lib/docker"), 0o710))
	w.docker = &PretendDocker{}
	w.ServeDocker(w.docker)
}

// withIptables is a host whose rules are as iptables-save writes them, in a file.
func withIptables(rules string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		const saved = "/run/rules"
		for _, tool := range []string{"iptables", "iptables-save", "iptables-restore"} {
			w.write(t, "/usr/sbin/"+tool, "", 0o755)
		}
		w.write(t, saved, rules, 0o644)
		w.Handle("iptables-save", func([]string) ([]byte, error) { return os.ReadFile(w.Path(saved)) })
		w.Handle("iptables", func(argv []string) ([]byte, error) {
			data, err := os.ReadFile(w.Path(saved))
			if err != nil {
				return nil, err
			}
			text, rule := string(data), "-A "+strings.Join(argv[4:], " ")+"\n"
			switch {
			case argv[3] == "-I":
				last := strings.LastIndex(text, "\n:") + 1
				at := last + strings.Index(text[last:], "\n") + 1
				text = text[:at] + rule + text[at:]
			case argv[3] == "-D" && strings.Contains(text, rule):
				text = strings.Replace(text, rule, "", 1)
			default:
				return nil, fmt.Errorf("iptables: %q is not understood", argv)
			}
			return nil, os.WriteFile(w.Path(saved), []byte(text), 0o644)
		})
	}
}

func symlink(t *testing.T, w *world, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.Path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, w.Path(name)); err != nil {
		t.Fatal(err)
	}
}

// again sends an op through its JSON, as the wire and the journal do.
func again(t *testing.T, op Op) Op {
	t.Helper()
	data, err := Encode(op)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(data)
	if err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return back
}

func observe(t *testing.T, w *world, op Op) Op {
	t.Helper()
	seen, err := op.Observe(t.Context(), w)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	if seen.Key() != op.Key() || fmt.Sprintf("%T", seen) != fmt.Sprintf("%T", op) {
		t.Fatalf("%s was observed as the %T %s", op.Key(), seen, seen.Key())
	}
	if text := Text(seen); strings.Contains(text, "PRIVATE") || text == "" && op.Key() != "swap:" {
		t.Errorf("its text is %q", text)
	}
	if data, _ := Encode(seen); bytes.Contains(data, []byte("PRIVATE KEY")) || bytes.Contains(data, []byte("UFJJVkFURSBLRVk")) {
		t.Errorf("a key is in the observation %s", data)
	}
	return again(t, seen)
}

// set sets what is not so, as an agent does, and says whether all went well.
func set(t *testing.T, w *world, op Op) error {
	t.Helper()
	was := observe(t, w, op)
	if Equal(op, was) {
		return nil
	}
	return op.Set(t.Context(), w, was)
}

// undo puts a first observation back, as an agent does that looks with the eyes of the wish.
func undo(t *testing.T, w *world, first, wish Op) error {
	t.Helper()
	return first.Set(t.Context(), w, observe(t, w, wish))
}

func TestEveryKindConforms(t *testing.T) {
	kindsSeen := map[string]bool{}
	for _, s := range specimens() {
		kindsSeen[s.wish.Key().Kind()] = true
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t)
			if s.with != nil {
				s.with(t, w)
			}
			wish, before := again(t, s.wish), w.snapshot(t)
			first := observe(t, w, wish)
			if now := w.snapshot(t); now != before {
				t.Fatalf("observing changed it\n%s", differing(before, now))
			}
			if Equal(wish, first) {
				t.Fatal("it is as wished before anything was done")
			}
			if !Equal(first, observe(t, w, first)) {
				t.Errorf("an observation is not equal to what is there: %+v", first)
			}
			if err := wish.Set(t.Context(), w, first); err != nil {
				t.Fatal(err)
			}
			now := observe(t, w, wish)
			if !Equal(wish, now) {
				t.Fatalf("it was set, but is\n%+v", now)
			}
			applied := w.snapshot(t)
			if err := wish.Set(t.Context(), w, now); err != nil {
				t.Errorf("setting it again: %v", err)
			}
			if again := w.snapshot(t); again != applied && !fresh(wish) {
				t.Errorf("setting it again changed it\n%s", differing(applied, again))
			}
			if s.grow != nil {
				s.grow(t, w)
			}
			for range 2 { // undo may be repeated, too
				if err := undo(t, w, first, wish); err != nil {
					t.Fatal(err)
				}
				if after := w.snapshot(t); after != before {
					t.Fatalf("it is not as it was\n%s", differing(before, after))
				}
			}
			if back := observe(t, w, wish); !Equal(first, back) {
				t.Errorf("with the eyes of the wish it is %+v, and was %+v", back, first)
			}
		})
	}
	for _, kind := range Kinds() {
		if !kindsSeen[kind] && kind != "probe" { // has tests of its own: it changes nothing
			t.Errorf("there is no specimen of %q", kind)
		}
	}
}

// fresh says whether setting makes a new key each time; agents set only what differs.
func fresh(op Op) bool {
	k, isKubeconfig := op.(Kubeconfig)
	return isKubeconfig && k.ClientFile == ""
}

func TestEveryChangeMayFail(t *testing.T) {
	for _, s := range specimens() {
		t.Run(s.name, func(t *testing.T) {
			start := func() (*world, Op) {
				w := newWorld(t)
				if s.with != nil {
					s.with(t, w)
				}
				return w, observe(t, w, s.wish)
			}
			whole, first := start()
			before := whole.snapshot(t)
			whole.FailAt(0)
			if err := set(t, whole, s.wish); err != nil {
				t.Fatal(err)
			}
			want, changes := whole.shape(t), whole.Changes()
			if changes == 0 {
				t.Fatal("nothing was changed, or nobody was told")
			}
			for n := 1; n <= changes; n++ {
				w, _ := start()
				w.FailAt(n)
				if err := set(t, w, s.wish); !errors.Is(err, ErrPretend) {
					t.Fatalf("change %d of %d: got %v", n, changes, err)
				}
				w.FailAt(0)
				if err := set(t, w, s.wish); err != nil {
					t.Fatalf("after a failure at change %d of %d: %v", n, changes, err)
				}
				if got := w.shape(t); got != want {
					t.Errorf("after a failure at change %d of %d it is not what it would be\n%s", n, changes, differing(want, got))
				}
				if s.grow != nil {
					s.grow(t, w)
				}
				w.FailAt(n)
				err := undo(t, w, first, s.wish)
				if err != nil && !errors.Is(err, ErrPretend) {
					t.Fatal(err)
				}
				w.FailAt(0)
				if err := undo(t, w, first, s.wish); err != nil {
					t.Fatal(err)
				}
				if after := w.snapshot(t); after != before {
					t.Errorf("undone after a failure at change %d of %d it is not as it was\n%s", n, changes, differing(before, after))
				}
			}
		})
	}
}

// differing lists the lines that only one of two snapshots has.
func differing(a, b string) string {
	var out strings.Builder
	only := func(sign, x, y string) {
		for line := range strings.Lines(x) {
			if !strings.Contains("\n"+y, "\n"+line) {
				out.WriteString(sign + line)
			}
		}
	}
	only("- ", a, b)
	only("+ ", b, a)
	return out.String()
}
