package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/host/sshtest"
	"github.com/kubewright/kubewright/ops"
)

// The scripts run the whole program as a process of its own, against hosts that are not there: SSH servers on loopback, in this process.

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kubewright": func() {
		agentBinary = func() (host.AgentBinary, error) { return sshtest.Binary(), nil }
		main()
	}})
}

// TestScripts runs testdata/script. Beside testscript's own commands there are:
//
//	exits CODE kubewright ARG...            the program ends with that code
//	interrupted CODE NAME kubewright ARG... the same, with a SIGINT as soon as the host has been connected to
//	host NAME [USER]                        starts a host; sets $NAME_port, $NAME_key (its fingerprint) and $NAME_id (a key that it accepts)
//	fault NAME FAULT                        has something go wrong with it: login, sudo, silent or nothing
//	rekey NAME                              puts another host at its place, with another key
//	down NAME                               a port on which nobody listens; sets the same variables
//	locked NAME USER                        another installer takes the host's lock
//	connections NAME N                      the host has seen so many TCP connections
//	bundle DIR [all]                        makes a bundle, with one program or with everything that a cluster needs
//	fill FILE                               replaces ${variables} in a file
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			tb := env.T().(testing.TB) // the shim around *testing.T
			env.Values["lab"] = &scriptLab{TB: tb, hosts: map[string]*sshtest.Server{}}
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(home, ".cache"))
			env.Setenv("SSH_AUTH_SOCK", "")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // or each command takes a second more to end
			return os.MkdirAll(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "interrupted": interrupted, "host": startHost, "fault": fault, "rekey": rekey, "down": down, "locked": locked,
			"connections": connections, "bundle": makeBundle, "fill": fill,
		},
	})
}

// scriptLab is the hosts of one script.
type scriptLab struct {
	testing.TB
	hosts map[string]*sshtest.Server
}

func labOf(ts *testscript.TestScript) *scriptLab { return ts.Value("lab").(*scriptLab) }

func (l *scriptLab) host(ts *testscript.TestScript, name string) *sshtest.Server {
	if l.hosts[name] == nil {
		ts.Fatalf("there is no host %s", name)
	}
	return l.hosts[name]
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	code, err := 0, ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("it ended with %d, not %s", code, args[0])
	}
}

func interrupted(ts *testscript.TestScript, _ bool, args []string) {
	server := labOf(ts).host(ts, args[1])
	before := server.Connections()
	path, err := exec.LookPath(args[2])
	ts.Check(err)
	cmd := exec.Command(path, args[3:]...)
	cmd.Args[0] = args[2]
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"))
	ts.Check(cmd.Start())
	for end := time.Now().Add(20 * time.Second); server.Connections() == before && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	began := time.Now()
	_ = cmd.Wait()
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("it ended with %s, not %s", got, args[0])
	}
	if took := time.Since(began); took > 10*time.Second {
		ts.Fatalf("it took %s to end", took)
	}
}

// startHost starts a host with a pretend machine behind its agent.
func startHost(ts *testscript.TestScript, _ bool, args []string) {
	user := "root"
	if len(args) > 1 {
		user = args[1]
	}
	lab := labOf(ts)
	root := lab.TempDir()
	s := sshtest.Start(lab, sshtest.Options{Root: root, User: user, Agent: sshtest.ServeOn(ops.NewPretend(root))})
	s.Install(sshtest.Binary())
	announce(ts, args[0], s)
}

func announce(ts *testscript.TestScript, name string, s *sshtest.Server) {
	labOf(ts).hosts[name] = s
	_, port, err := net.SplitHostPort(s.Addr)
	ts.Check(err)
	ts.Setenv(name+"_port", port)
	ts.Setenv(name+"_id", s.KeyFile)
	ts.Setenv(name+"_key", ssh.FingerprintSHA256(s.HostKeys[0].PublicKey()))
	ts.Setenv(name+"_root", s.Root)
}

func fault(ts *testscript.TestScript, _ bool, args []string) {
	labOf(ts).host(ts, args[0]).Fault(func(f *sshtest.Faults) {
		*f = sshtest.Faults{}
		switch args[1] {
		case "login":
			f.RefuseLogin = true
		case "sudo":
			f.Sudo = sshtest.SudoAsks
		case "silent":
			f.Silent = true
		case "nothing":
		default:
			ts.Fatalf("there is no fault %s", args[1])
		}
	})
}

// rekey starts a host with new keys that accepts the same login; whoever knew the first by its key must notice.
func rekey(ts *testscript.TestScript, _ bool, args []string) {
	lab := labOf(ts)
	old := lab.host(ts, args[0])
	raw, err := os.ReadFile(old.KeyFile)
	ts.Check(err)
	login, err := ssh.ParsePrivateKey(raw)
	ts.Check(err)
	root := lab.TempDir()
	s := sshtest.Start(lab, sshtest.Options{Root: root, Authorized: []ssh.PublicKey{login.PublicKey()}, Agent: sshtest.ServeOn(ops.NewPretend(root))})
	announce(ts, args[0], s)
}

func down(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	login, file := sshtest.NewKeyFile(labOf(ts), ssh.KeyAlgoED25519, "")
	ts.Setenv(args[0]+"_id", file)
	ts.Setenv(args[0]+"_key", ssh.FingerprintSHA256(login.PublicKey()))
	ts.Setenv(args[0]+"_port", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	ts.Check(l.Close())
}

// locked is another installer: it connects as the program does, and takes the lock for the rest of the script.
func locked(ts *testscript.TestScript, _ bool, args []string) {
	c, err := host.Dial(context.Background(), labOf(ts).host(ts, args[0]).Address(args[0]))
	ts.Check(err)
	ts.Defer(func() { c.Close() })
	s, err := c.Agent(context.Background(), sshtest.Binary(), nil)
	ts.Check(err)
	ts.Check(s.Lock(context.Background(), agent.Holder{User: args[1], Workstation: "desk-7", Run: "20260101-000000-1", Since: time.Unix(1767225600, 0)}))
}

func connections(ts *testscript.TestScript, neg bool, args []string) {
	got := strconv.Itoa(labOf(ts).host(ts, args[0]).Connections())
	if (got == args[1]) == neg {
		ts.Fatalf("%s has seen %s connections", args[0], got)
	}
}

// makeBundle writes a bundle with one program in it, which is enough for a command that goes on only with a bundle, or one from which steps can be
// computed.
func makeBundle(ts *testscript.TestScript, _ bool, args []string) {
	w, err := bundle.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	program := filepath.Join(labOf(ts).TempDir(), "kubelet")
	ts.Check(os.WriteFile(program, []byte("a program\n"), 0o755))
	if len(args) == 1 {
		ts.Check(w.AddFile(bundle.Component{Name: "kubelet", Version: "v1.0.0", Platform: bundle.Platform, Source: "example.com/kubelet@v1.0.0"}, program))
		ts.Check(w.Close())
		return
	}
	want := bundle.Want()
	for _, c := range want.Components {
		c.Version = cmp.Or(c.Version, "1.0") // only a build finds out which version a Debian package has
		if c.Kind == bundle.KindFile {
			ts.Check(w.AddFile(want.Component(c), program))
		} else {
			ts.Check(w.AddImage(want.Component(c), v1.ConfigFile{OS: "linux", Architecture: "amd64"}))
		}
	}
	ts.Check(w.Close())
}

func fill(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), func(v string) string {
			value := ts.Getenv(v)
			if value == "" {
				ts.Fatalf("%s: there is no ${%s}", name, v)
			}
			return value
		})
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}

// TestScriptsAreAboutEveryCommand: a command without a script is one that nobody has tried.
func TestScriptsAreAboutEveryCommand(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%q, %v", scripts, err)
	}
	var all strings.Builder
	for _, s := range scripts {
		text, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	// These need root, a network or a cluster; the e2e suite has them.
	elsewhere := map[string]bool{"lab": true}
	for _, c := range root().Commands() {
		if !elsewhere[c.Name()] && !strings.Contains(all.String(), "kubewright "+c.Name()) {
			t.Errorf("no script runs %s", c.Name())
		}
	}
}
