package ops

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestInterruptedInstallations(t *testing.T) {
	halfway := func(t *testing.T, w *world, name string) {
		data, err := os.ReadFile(w.Path(dpkgStatus))
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, dpkgStatus, strings.Replace(string(data), "Package: "+name+"\nStatus: install ok installed", "Package: "+name+"\nStatus: install ok half-configured", 1), 0o644)
	}
	t.Run("of somebody else", func(t *testing.T) {
		w := newWorld(t)
		offer("nuke=1")(t, w)
		halfway(t, w, "nuke")
		before := w.snapshot(t)
		err := set(t, w, Package{Name: "tini"})
		if err == nil || !strings.Contains(err.Error(), `nuke is half-configured`) || !strings.Contains(err.Error(), "dpkg --configure -a") {
			t.Errorf("it says %v", err)
		}
		if after := w.snapshot(t); after != before {
			t.Errorf("something was done\n%s", differing(before, after))
		}
	})
	t.Run("of ours", func(t *testing.T) {
		w := newWorld(t)
		offer()(t, w)
		wish := Package{Name: "docker.io"}
		before := w.snapshot(t)
		first := observe(t, w, wish)
		all, err := apt{}.table(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := beginTrace(t.Context(), w, wish, nil, all); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Run(t.Context(), "apt-get", "install", "docker.io=20.10.24-1"); err != nil {
			t.Fatal(err)
		}
		halfway(t, w, "containerd")
		halfway(t, w, "docker.io")
		if seen := observe(t, w, wish); Equal(wish, seen) {
			t.Errorf("half an installation is taken for one: %+v", seen)
		}
		if err := set(t, w, wish); err != nil {
			t.Fatal(err)
		}
		if seen := observe(t, w, wish); !Equal(wish, seen) {
			t.Errorf("it is %+v", seen)
		}
		if err := undo(t, w, first, wish); err != nil {
			t.Fatal(err)
		}
		if after := w.snapshot(t); after != before {
			t.Errorf("it is not as it was\n%s", differing(before, after))
		}
	})
}

// listener hears what is waited for.
type listener struct {
	*world
	heard chan string
}

func (l listener) Unwrap() Machine  { return l.world }
func (l listener) Tell(what string) { l.heard <- what }

func TestLockedPackageManager(t *testing.T) {
	if holds := os.Getenv("KUBEWRIGHT_TEST_LOCK"); holds != "" { // the process that holds the lock
		f, err := os.OpenFile(holds, os.O_RDWR, 0)
		if err == nil {
			err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		}
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("locked\n")
		_, _ = os.Stdin.Read(make([]byte, 1))
		return
	}
	hold := func(t *testing.T, w *world) (release func(), pid int) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLockedPackageManager$")
		cmd.Env = append(os.Environ(), "KUBEWRIGHT_TEST_LOCK="+w.Path("/var/lib/dpkg/lock-frontend"))
		in, err1 := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		if err := errors.Join(err1, err2, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
			t.Fatalf("%q, %v", line, err)
		}
		w.write(t, fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid), "apt-get\x00upgrade\x00", 0o444)
		return func() { in.Close(); _ = cmd.Wait() }, cmd.Process.Pid
	}
	was := lockBound
	defer func() { lockBound = was }()
	wish := Package{Name: "tini"}

	w := newWorld(t)
	offer()(t, w)
	release, pid := hold(t, w)
	heard := make(chan string, 100)
	done := make(chan error, 1)
	go func() { done <- wish.Set(t.Context(), listener{w, heard}, Package{Name: "tini", Absent: true}) }()
	if got, want := <-heard, fmt.Sprintf("waits for process %d (apt-get upgrade), which changes packages; 5m0s left", pid); got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}

	w = newWorld(t)
	offer()(t, w)
	lockBound = time.Millisecond
	release, pid = hold(t, w)
	defer release()
	err := wish.Set(t.Context(), w, Package{Name: "tini", Absent: true})
	if want := fmt.Sprintf("the package manager has been locked for 1ms, by process %d (apt-get upgrade)", pid); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, ran := range w.Ran() {
		if !strings.HasPrefix(ran, "apt-cache") {
			t.Errorf("ran %s", ran)
		}
	}
}
