package ops

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A server that sends half and then nothing, or not even a header, does not keep us for ever.
func TestADownloadThatStalls(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"half way": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(blob[:100])
			w.(http.Flusher).Flush()
		},
		"before the first byte": func(http.ResponseWriter) {},
	} {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer(w)
				<-r.Context().Done()
				close(left)
			}))
			defer server.Close()
			again, err := get(t.Context(), server.Client(), server.URL, digestOf(blob), 100*time.Millisecond, &strings.Builder{})
			if !again || err == nil || !strings.Contains(err.Error(), "no byte came for 100ms") || !strings.Contains(err.Error(), server.URL) {
				t.Errorf("got %v, %v", again, err)
			}
			<-left
		})
	}
}

// A slow server is not a dead one.
func TestADownloadThatTakesLong(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for part := range 6 {
			_, _ = w.Write(blob[part*len(blob)/6 : (part+1)*len(blob)/6])
			w.(http.Flusher).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	}))
	defer server.Close()
	if _, err := get(t.Context(), server.Client(), server.URL, digestOf(blob), 400*time.Millisecond, &strings.Builder{}); err != nil {
		t.Error(err)
	}
}

func TestWaitingForAJob(t *testing.T) {
	var errBus = errors.New("the bus is gone")
	is := func(pending bool, active string) func() (job, error) {
		return func() (job, error) { return job{pending, active}, nil }
	}
	lost := func() (job, error) { return job{}, errBus }
	for name, row := range map[string]struct {
		said string // what the signal says, if it comes
		wish string
		seen []func() (job, error) // one a look, the last for ever
		want string
		says string
	}{
		"a signal":                       {said: "timeout", wish: "active", seen: []func() (job, error){is(true, "activating")}, want: "timeout"},
		"a start whose signal was lost":  {wish: "active", seen: []func() (job, error){lost, is(true, "activating"), is(false, "active")}, want: "done"},
		"one that reloads already":       {wish: "active", seen: []func() (job, error){is(false, "reloading")}, want: "done"},
		"a start that failed unheard":    {wish: "active", seen: []func() (job, error){is(true, "activating"), is(false, "activating")}, want: "failed"},
		"a stop whose signal was lost":   {wish: "inactive", seen: []func() (job, error){is(true, "deactivating"), is(false, "inactive")}, want: "done"},
		"a stop that ended in a failure": {wish: "inactive", seen: []func() (job, error){is(false, "failed")}, want: "done"},
		"a restart that is still to stop": {wish: "active", seen: []func() (job, error){is(true, "active"), is(true, "deactivating"), is(false, "active")},
			want: "done"},
		"a job that never ends": {wish: "active", seen: []func() (job, error){is(true, "deactivating")}, says: "not done with it after 100ms: it is deactivating"},
		"a bus that stays away": {wish: "active", seen: []func() (job, error){lost}, says: "the bus is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := make(chan string, 1)
			if row.said != "" {
				result <- row.said
			}
			looks := 0
			got, err := waitJob(t.Context(), time.Millisecond, 100*time.Millisecond, result, row.wish, func(context.Context) (job, error) {
				looks++
				return row.seen[min(looks, len(row.seen))-1]()
			})
			if got != row.want || (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// containerd died and left its socket: there is no image, so that whoever starts it again gets to it.
func TestAnImageWhereContainerdDied(t *testing.T) {
	w := newWorld(t)
	w.write(t, ctr, "", 0o755)
	wish := Image{Ref: "registry:5000/pause@sha256:aa", Present: true}
	w.Handle("ctr", func([]string) ([]byte, error) { return nil, errors.New("connection refused") })
	if err := os.MkdirAll(filepath.Dir(w.Path(containerdSocket)), 0o755); err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.Path(containerdSocket), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := wish.Observe(t.Context(), w); err == nil {
		t.Errorf("while it runs a failure of its tool is a failure, not %+v", seen)
	}
	socket.SetUnlinkOnClose(false)
	socket.Close()
	if seen := observe(t, w, wish).(Image); seen.Present {
		t.Error("there is an image without containerd")
	}
	if err := (Image{Ref: wish.Ref}).Set(t.Context(), w, wish); err != nil {
		t.Errorf("undo: %v", err)
	}
}

const dyingHelper = "KUBEWRIGHT_TEST_RUNS_AND_DIES"

// What an agent runs ends with it, even where it is killed.
func TestNoProgramOutlivesUs(t *testing.T) {
	if os.Getenv(dyingHelper) != "" {
		_, err := NewHost(t.TempDir(), nil).Run(t.Context(), "sleep", "600")
		t.Fatal("it ended: ", err)
	}
	helper := exec.Command(os.Args[0], "-test.run=^TestNoProgramOutlivesUs$")
	helper.Env = append(os.Environ(), dyingHelper+"=1")
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() { _ = helper.Process.Kill(); _ = helper.Wait() })
	defer kill()
	child := 0
	for deadline := time.Now().Add(10 * time.Second); child == 0; time.Sleep(5 * time.Millisecond) {
		lists, _ := filepath.Glob("/proc/" + strconv.Itoa(helper.Process.Pid) + "/task/*/children")
		for _, list := range lists {
			data, _ := os.ReadFile(list)
			for _, pid := range strings.Fields(string(data)) {
				if name, _ := os.ReadFile("/proc/" + pid + "/comm"); strings.TrimSpace(string(name)) == "sleep" {
					child, _ = strconv.Atoi(pid)
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the program was not started")
		}
	}
	kill()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
		if err != nil || strings.Contains(string(stat), "(sleep) Z") {
			return
		}
		if time.Now().After(deadline) {
			_ = unix.Kill(child, unix.SIGKILL)
			t.Fatal("the program runs on without us")
		}
	}
}

func TestAProgramThatWasReplaced(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program, aside := filepath.Join(dir, "sleep"), filepath.Join(dir, "aside")
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for _, row := range []struct {
		what string
		do   func() error
		want bool
	}{
		{"as it was started", func() error { return nil }, false},
		{"with another in its place", func() error {
			return errors.Join(os.Link(program, aside), os.WriteFile(program+"~", data, 0o755), os.Rename(program+"~", program))
		}, true},
		{"back in its place", func() error { return os.Rename(aside, program) }, false},
		{"removed", func() error { return os.Remove(program) }, true},
	} {
		if err := row.do(); err != nil {
			t.Fatal(err)
		}
		if got := replaced(cmd.Process.Pid); got != row.want {
			t.Errorf("%s: got %v", row.what, got)
		}
	}
}
