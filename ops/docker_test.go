package ops

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestADriverThatIsNotTheWantedOne(t *testing.T) {
	for name, row := range map[string]struct {
		docker *PretendDocker
		says   string
	}{
		"another":            {&PretendDocker{Driver: func() string { return "cgroupfs" }}, "the cgroup driver of docker is cgroupfs, not systemd"},
		"none that is told":  {&PretendDocker{Driver: func() string { return "" }}, "is , not systemd"},
		"nobody to be asked": {&PretendDocker{Running: func() bool { return false }}, "docker did not say which cgroup driver it has within 1s: docker: "},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.ServeDocker(row.docker)
			wish := Driver{Runtime: "docker", Want: "systemd", Within: 1, OK: true}
			seen := observe(t, w, wish)
			if Equal(wish, seen) {
				t.Fatalf("it was observed as wished: %+v", seen)
			}
			if err := wish.Set(t.Context(), w, seen); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v", err)
			}
			if err := undo(t, w, seen, wish); err != nil {
				t.Errorf("undo: %v", err)
			}
		})
	}
}

// cri is a container runtime on a real socket, which speaks HTTP/2 without TLS as gRPC does.
func cri(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	socket := t.TempDir() + "/cri.sock"
	l, err := net.Listen("unix", socket)
	must(t, err)
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return socket
}

// sockets is a machine whose sockets are this process' own.
type sockets struct{ Machine }

func (sockets) Path(p string) string { return p }

func framed(message ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

func TestARuntimeIsAskedAsTheKubeletAsks(t *testing.T) {
	for name, row := range map[string]struct {
		body         []byte
		status, text string
		want, says   string
	}{
		"systemd, which is not written": {body: framed(0x0a, 0), status: "0", want: "systemd"},
		"systemd, written":              {body: framed(0x0a, 2, 0x08, 0), status: "0", want: "systemd"},
		"cgroupfs":                      {body: framed(0x0a, 2, 0x08, 1), status: "0", want: "cgroupfs"},
		"after what we do not know":     {body: framed(0x12, 1, 0xff, 0x18, 5, 0x0a, 2, 0x08, 1), status: "0", want: "cgroupfs"},
		"a driver of the future":        {body: framed(0x0a, 2, 0x08, 7), status: "0", says: "with the number 7"},
		"nothing said":                  {body: framed(), status: "0", says: "does not say which cgroup driver"},
		"a length that is a lie":        {body: framed(0x0a, 200), status: "0", says: "cannot be read"},
		"a number without end":          {body: framed(0x0a, 0xff), status: "0", says: "cannot be read"},
		"a frame cut short":             {body: framed(0x0a, 0)[:6], status: "0", says: "not that of a container runtime"},
		"no CRI in it":                  {status: "12", text: "unknown service runtime.v1.RuntimeService", says: "without its interface for kubelets"},
		"a failure":                     {status: "2", text: "not initialized yet", says: "not initialized yet"},
	} {
		t.Run(name, func(t *testing.T) {
			socket := cri(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/runtime.v1.RuntimeService/RuntimeConfig" || r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("TE") != "trailers" || r.ProtoMajor != 2 {
					t.Errorf("asked was %s %s by %s with %v", r.Method, r.URL.Path, r.Proto, r.Header)
				}
				w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
				_, _ = w.Write(row.body)
				w.Header().Set("Grpc-Status", row.status)
				w.Header().Set("Grpc-Message", row.text)
			})
			got, err := criDriver(t.Context(), sockets{}, socket)
			if got != row.want || (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if _, err := criDriver(t.Context(), sockets{}, t.TempDir()+"/none"); !engineAway(err) {
		t.Errorf("without a runtime: %v", err)
	}
	wish := Driver{Runtime: "containerd", Want: "systemd", Within: 30, OK: true}
	wish.Socket = cri(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Grpc-Status", "12") })
	if err := wish.Set(t.Context(), sockets{}, nil); !errors.Is(err, errNoCRI) { // at once
		t.Errorf("a runtime without CRI: %v", err)
	}
}

func TestAPullThatFails(t *testing.T) {
	w := newWorld(t)
	w.ServeDocker(&PretendDocker{Pull: func(string) error { return errors.New("x509: certificate signed by unknown authority") }})
	wish := Image{Ref: "registry:5000/pause@sha256:aa", Docker: true, Present: true}
	if err := wish.Set(t.Context(), w, observe(t, w, wish)); err == nil || err.Error() != "docker: x509: certificate signed by unknown authority" {
		t.Errorf("got %v", err)
	}
	if err := (Image{Ref: "registry:5000/pause:latest", Docker: true, Present: true}).Set(t.Context(), w, nil); err == nil || !strings.Contains(err.Error(), "names no digest") {
		t.Errorf("by tag: %v", err)
	}
}

func TestDockerThatIsAwayHasNoImage(t *testing.T) {
	w := newWorld(t)
	wish := Image{Ref: "registry:5000/pause@sha256:aa", Docker: true, Present: true}
	if seen := observe(t, w, wish).(Image); seen.Present {
		t.Error("there is an image without docker")
	}
	if err := (Image{Ref: wish.Ref, Docker: true}).Set(t.Context(), w, wish); err != nil {
		t.Errorf("undo: %v", err)
	}
}

// What somebody else keeps in Docker stays: what was there, what is used, and what nobody could pull again.
func TestAClaimOfDockersStoreLeavesWhatIsOthers(t *testing.T) {
	w := newWorld(t)
	withDocker(t, w)
	must(t, w.docker.Run("theirs", "old", false, "registry/old@sha256:1"))
	claim := Claim{Name: "docker-store", Docker: true, Held: true}
	first := observe(t, w, claim)
	must(t, set(t, w, claim))
	must(t, w.docker.Run("pod", "pulled", true, "registry/new@sha256:2"))
	must(t, w.docker.Run("theirs-later", "used", false, "registry/used@sha256:3"))
	must(t, w.docker.Run("pod-of-built", "built", true))
	must(t, undo(t, w, first, claim))
	images, containers := w.docker.Store()
	if !slices.Equal(images, []string{"old", "used", "built"}) || !slices.Equal(containers, []string{"theirs", "theirs-later"}) {
		t.Errorf("left are the images %v and the containers %v", images, containers)
	}
}

// With a Docker that was not there before everything in it goes, whoever put it there.
func TestAClaimOfADockerThatIsOurs(t *testing.T) {
	for name, row := range map[string]struct {
		installed bool
		want      []string
	}{"installed by us": {false, nil}, "there before": {true, []string{"theirs"}}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			withDocker(t, w)
			if row.installed {
				w.Give("docker.service", UnitState{})
			}
			docker, pods := Claim{Name: DockerClaim, Units: []string{"docker.service"}, Held: true}, Claim{Name: "pods", Docker: true, Held: true}
			must(t, set(t, w, docker))
			w.Give("docker.service", UnitState{Active: true})
			first := observe(t, w, pods)
			must(t, set(t, w, pods))
			must(t, w.docker.Run("theirs", "image", false, "registry/x@sha256:1"))
			must(t, w.docker.Run("pod", "image", true))
			must(t, undo(t, w, first, pods))
			if _, containers := w.docker.Store(); !slices.Equal(containers, row.want) {
				t.Errorf("left are %v", containers)
			}
		})
	}
}

// What grows with a Docker that ran before is its own: networks and mounts of containers that somebody else runs.
func TestAClaimLeavesARunningDockerWhatIsItsOwn(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/proc/self/mountinfo", rootOnly, 0o644)
	w.Give("docker.service", UnitState{Active: true, Since: testNow.Add(-1)})
	claim := Claim{Name: DockerClaim, Links: []string{"br-*"}, Mounts: []string{"/run/docker"}, Units: []string{"docker.service"}, Held: true}
	first := observe(t, w, claim)
	must(t, set(t, w, claim))
	w.Grow([]string{"br-0123456789ab"}, nil, false)
	w.write(t, "/proc/self/mountinfo", rootOnly+"2 1 0:2 / /run/docker/netns/1 rw - x x x\n", 0o644)
	must(t, undo(t, w, first, claim))
	links, _ := w.Links()
	mounts, _ := os.ReadFile(w.Path("/proc/self/mountinfo"))
	if len(links) != 1 || !strings.Contains(string(mounts), "/run/docker/netns/1") {
		t.Errorf("left are the links %v and the mounts\n%s", links, mounts)
	}
}

// Docker that died still holds the containers of pods: it is started for as long as it takes. One that is gone holds nothing.
func TestADockerThatDied(t *testing.T) {
	for name, installed := range map[string]bool{"it is still installed": true, "it is gone": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			withDocker(t, w)
			runs := true
			w.docker.Running = func() bool { return runs }
			w.OnUnit("docker.service", func(active bool) { runs = active })
			if installed {
				w.Give("docker.service", UnitState{})
			}
			claim := Claim{Name: "pods", Docker: true, Held: true}
			first := observe(t, w, claim)
			must(t, set(t, w, claim))
			must(t, w.docker.Run("pod", "new", true, "registry/new@sha256:2"))
			runs = false
			must(t, undo(t, w, first, claim))
			if images, containers := w.docker.Store(); installed == (len(images)+len(containers) > 0) {
				t.Errorf("left are the images %v and the containers %v", images, containers)
			}
		})
	}
}

// Docker that ran before reads its own settings again at the end; one that never got ours is left alone.
func TestAClaimStartsAnewWhatRanBefore(t *testing.T) {
	for name, row := range map[string]struct {
		before, later UnitState
		want          int
	}{
		"it has read our settings":   {UnitState{Active: true, Since: testNow.Add(-1)}, UnitState{Active: true, Since: testNow.Add(1)}, 1},
		"it never read our settings": {UnitState{Active: true, Since: testNow.Add(-1)}, UnitState{Active: true, Since: testNow.Add(-1)}, 0},
		"it died meanwhile":          {UnitState{Active: true, Since: testNow.Add(-1)}, UnitState{}, 1},
		"it did not run before":      {UnitState{}, UnitState{Active: true, Since: testNow.Add(1)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Give("docker.service", row.before)
			claim := Claim{Name: "docker", Units: []string{"docker.service"}, Held: true}
			first := observe(t, w, claim)
			must(t, set(t, w, claim))
			w.Give("docker.service", row.later)
			starts := 0
			w.OnUnit("docker.service", func(active bool) {
				if active {
					starts++
				}
			})
			must(t, undo(t, w, first, claim))
			if starts != row.want {
				t.Errorf("it was started %d times", starts)
			}
		})
	}
}

// What others run in Docker runs again after a restart of ours, also when we died in between, and is not touched later.
func TestARestartOfDockerKeepsOthersRunning(t *testing.T) {
	state := func(w *world, id string) string {
		all, err := engineOf(w).containers(t.Context())
		must(t, err)
		for _, c := range all {
			if c.ID == id {
				return c.State
			}
		}
		return "gone"
	}
	start := func() (*world, Unit) {
		w := newWorld(t)
		withDocker(t, w)
		w.Give("docker.service", UnitState{Active: true, Enabled: true, Since: testNow.Add(-time.Hour)})
		w.OnUnit("docker.service", func(bool) { must(t, w.docker.Stop()) })
		must(t, w.docker.Run("theirs", "image", false))
		must(t, w.docker.Run("pod", "image", true))
		w.write(t, "/etc/docker/daemon.json", "{}", 0o644)
		must(t, os.Chtimes(w.Path("/etc/docker/daemon.json"), testNow, testNow))
		return w, Unit{Name: "docker.service", Enabled: true, Active: true, Reads: []string{"/etc/docker/daemon.json"}}
	}
	w, wish := start()
	must(t, set(t, w, wish))
	if state(w, "theirs") != "running" || state(w, "pod") != "exited" {
		t.Errorf("theirs is %s, the pod's is %s", state(w, "theirs"), state(w, "pod"))
	}
	if seen := observe(t, w, wish); !Equal(wish, seen) {
		t.Errorf("it is %+v", seen)
	}
	must(t, w.docker.Stop())
	must(t, set(t, w, wish))
	if state(w, "theirs") != "exited" {
		t.Error("what its owner has stopped was started")
	}

	for n := 1; ; n++ {
		w, wish := start()
		w.FailAt(n)
		err := set(t, w, wish)
		w.FailAt(0)
		must(t, set(t, w, wish))
		if state(w, "theirs") != "running" || exists(w, interruptedFile(w)) {
			t.Errorf("after a failure at change %d theirs is %s", n, state(w, "theirs"))
		}
		if err == nil {
			break
		}
	}
}

// Rules that Docker writes into chains of others go with its link; those that were there, and everybody else's, stay.
func TestAClaimTakesItsRulesOutOfOthersChains(t *testing.T) {
	const (
		before = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i docker0 -j LOG\n-A FORWARD -s 10.9.0.0/16 -j DROP\nCOMMIT\n"
		after  = "*filter\n:FORWARD ACCEPT [0:0]\n:DOCKER - [0:0]\n-A FORWARD -o docker0 -j DOCKER\n-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n" +
			"-A FORWARD -i docker0 -j LOG\n-A FORWARD -s 10.9.0.0/16 -j DROP\n-A FORWARD -o docker1 -j ACCEPT\n-A DOCKER -i docker0 -j RETURN\nCOMMIT\n"
		want = "*filter\n:DOCKER - [0:0]\n-D FORWARD -o docker0 -j DOCKER\n-D FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-X DOCKER\nCOMMIT\n"
	)
	w := newWorld(t)
	withIptables(before)(t, w)
	var restored []byte
	w.Handle("iptables-restore", func(argv []string) (_ []byte, err error) {
		if argv[1] != "--noflush" {
			return nil, fmt.Errorf("%q", argv)
		}
		restored, err = os.ReadFile(argv[len(argv)-1])
		return nil, err
	})
	claim := Claim{Name: "docker", Chains: []string{"DOCKER"}, Links: []string{"docker0"}, Held: true}
	first := observe(t, w, claim)
	must(t, set(t, w, claim))
	w.write(t, "/run/rules", after, 0o644)
	must(t, undo(t, w, first, claim))
	if !bytes.Equal(restored, []byte(want)) {
		t.Errorf("restored was\n%swant\n%s", restored, want)
	}
}

func TestForwardedWhereNothingIsDropped(t *testing.T) {
	wish := Forward{Range: "10.244.0.0/16", Open: true}
	for name, with := range map[string]func(*testing.T, *world){
		"without iptables":            nil,
		"with a policy to accept":     withIptables("*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"),
		"with no table of that name":  withIptables("*nat\n:FORWARD DROP [0:0]\nCOMMIT\n"),
		"with the rules there before": withIptables("*filter\n:FORWARD DROP [0:0]\n-A FORWARD -s 10.244.0.0/16 -j ACCEPT\n-A FORWARD -d 10.244.0.0/16 -j ACCEPT\nCOMMIT\n"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if with != nil {
				with(t, w)
			}
			if seen := observe(t, w, wish); !Equal(wish, seen) {
				t.Errorf("got %+v", seen)
			}
			must(t, wish.Set(t.Context(), w, wish))
		})
	}
}
