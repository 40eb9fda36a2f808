//go:build e2e

package images

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/bundle"
)

// few are the components that the tests move: two small images that share nothing, a program, and one large enough to be cut in the middle.
var few = []string{"pause", "coredns", "bin/runc", "kube-scheduler"}

// bench is two registries, the way to each, and the program.
type bench struct {
	*testing.T
	program string
	dir     string
	secure  *registry // TLS by a private authority, and a user
	plain   *registry
	wire    *wire // to the plain one
	ca      string
	auth    string
}

// run starts the program and returns its streams together and its exit code.
func (b *bench) run(args ...string) (string, int) {
	b.Helper()
	cmd := exec.Command(b.program, args...)
	cmd.Dir = b.dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.Fatal(err)
	}
	if strings.Contains(string(out), password) || strings.Contains(strings.Join(args, " "), password) {
		b.Errorf("the password is shown:\n%s", out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// ends runs the program and says what it must end with and say.
func (b *bench) ends(code int, words []string, args ...string) string {
	b.Helper()
	began := time.Now()
	out, got := b.run(args...)
	if got != code {
		b.Fatalf("%v ended with %d, not %d:\n%s", args, got, code, out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			b.Errorf("%v does not say %q:\n%s", args, w, out)
		}
	}
	b.Logf("%s %v: %s", time.Since(began).Round(time.Millisecond), args, lastLine(out))
	return out
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// sums reads how many bytes were moved and how many were there.
func (b *bench) sums(out string) (moved, there int64) {
	b.Helper()
	m := regexp.MustCompile(`(?m)^(?:sent|fetched|packed|brought over) (\d+) bytes \(.*?\); (\d+) bytes`).FindStringSubmatch(out)
	if m == nil {
		b.Fatalf("there is no sum in\n%s", out)
	}
	moved, _ = strconv.ParseInt(m[1], 10, 64)
	there, _ = strconv.ParseInt(m[2], 10, 64)
	return moved, there
}

func TestImages(t *testing.T) {
	root, err := filepath.Abs("../..")
	must(t, err)
	cache, err := os.UserCacheDir()
	must(t, err)
	opened, err := bundle.Open(filepath.Join(cache, "kubewright", "bundle"))
	must(t, err)
	b := &bench{T: t, program: filepath.Join(root, "bin/kubewright"), dir: t.TempDir()}
	reg := extract(t, opened)
	ca, cert, key := authority(t, time.Now().Add(24*time.Hour), "127.0.0.1")
	b.ca, b.auth = ca, filepath.Join(b.dir, "auth")
	b.secure, b.plain = serve(t, reg, cert, key), serve(t, reg, "", "")
	b.wire = newWire(t, b.plain.address)
	must(t, os.WriteFile(b.auth, []byte(user+":"+password+"\n"), 0o600))
	sec := []string{"--ca", b.ca, "--auth-file", b.auth}
	with := func(verb string, more ...string) []string { return append([]string{"images", verb}, more...) }
	to := func(extra ...string) []string {
		return append(append(with("push", "--to", b.secure.address+"/course"), sec...), extra...)
	}

	t.Run("list", func(t *testing.T) {
		b.T = t
		b.ends(0, []string{"kube-apiserver", "bin/kubelet", "control-plane", "REPOSITORY -> REGISTRY/REPOSITORY:VERSION@DIGEST"}, "images", "list")
		out := b.ends(0, nil, "images", "list", "-o", "json", "pause")
		var got struct {
			Components []bundle.Listed `json:"components"`
		}
		must(t, json.Unmarshal([]byte(out), &got))
		if len(got.Components) != 1 || got.Components[0].Name != "pause" || got.Components[0].NeededBy[0] != "images" {
			t.Errorf("got %+v", got)
		}
		b.ends(2, []string{`no component "nothing"`}, "images", "list", "nothing")
	})
	t.Run("an empty registry lacks everything", func(t *testing.T) {
		b.T = t
		b.ends(3, []string{"pause:3.10.2: missing: 404 not found", "0 of 4 components"}, append(append(with("check", "--registry", b.secure.address+"/course"), sec...), few...)...)
	})
	t.Run("push", func(t *testing.T) {
		b.T = t
		sent, there := b.sums(b.ends(0, []string{"pushed " + b.secure.address + "/course/coredns"}, to(few[:2]...)...))
		if sent == 0 || there != 0 {
			t.Errorf("sent %d, there %d", sent, there)
		}
		// The delta: two that are there, two that are not.
		sent, there = b.sums(b.ends(0, []string{"there " + b.secure.address + "/course/pause"}, to(few...)...))
		if sent == 0 || there == 0 {
			t.Errorf("sent %d, there %d", sent, there)
		}
		if sent, _ := b.sums(b.ends(0, nil, to(few...)...)); sent != 0 {
			t.Errorf("a third push sent %d bytes", sent)
		}
		b.ends(0, []string{"4 of 4 components"}, append(append(with("check", "--registry", b.secure.address+"/course"), sec...), few...)...)
	})
	t.Run("whom to trust and who asks", func(t *testing.T) {
		b.T = t
		otherCA, _, _ := authority(t, time.Now().Add(time.Hour), "127.0.0.1")
		wrong := filepath.Join(b.dir, "wrong")
		must(t, os.WriteFile(wrong, []byte(user+":not-this\n"), 0o600))
		open := filepath.Join(b.dir, "open")
		must(t, os.WriteFile(open, []byte(user+":"+password+"\n"), 0o644))
		at := b.secure.address + "/course"
		_, expired, expiredKey := authority(t, time.Now().Add(-time.Hour), "127.0.0.1")
		late := serve(t, reg, expired, expiredKey)
		lateCA := filepath.Join(filepath.Dir(expired), "ca.crt")
		_, elsewhere, elsewhereKey := authority(t, time.Now().Add(time.Hour), "127.0.0.9")
		other := serve(t, reg, elsewhere, elsewhereKey)
		elsewhereCA := filepath.Join(filepath.Dir(elsewhere), "ca.crt")
		for _, row := range []struct {
			code  int
			words []string
			args  []string
		}{
			{4, []string{"TLS: its certificate is signed by an authority that is not among the system's authorities"}, []string{"--auth-file", b.auth, "--registry", at}},
			{4, []string{"not among those in " + otherCA}, []string{"--auth-file", b.auth, "--ca", otherCA, "--registry", at}},
			{4, []string{"TLS: its certificate was valid from", "those in " + lateCA}, []string{"--auth-file", b.auth, "--ca", lateCA, "--registry", late.address}},
			{4, []string{"TLS: its certificate is for another name", "127.0.0.9"}, []string{"--auth-file", b.auth, "--ca", elsewhereCA, "--registry", other.address}},
			{4, []string{"401 unauthorized", "no credentials were given"}, []string{"--ca", b.ca, "--registry", at}},
			{4, []string{"401 unauthorized", "does not accept the credentials of " + wrong}, []string{"--ca", b.ca, "--auth-file", wrong, "--registry", at}},
			{2, []string{"chmod 600"}, []string{"--ca", b.ca, "--auth-file", open, "--registry", at}},
			{4, []string{"it speaks plain HTTP, and TLS was asked for"}, []string{"--registry", b.plain.address}},
			{4, []string{"it speaks TLS, and plain HTTP was asked for"}, []string{"--plain-http", "--registry", "http://" + b.secure.address}},
			{2, []string{"only with --plain-http"}, []string{"--registry", "http://" + b.plain.address}},
			{4, []string{"credentials are not sent without TLS"}, []string{"--plain-http", "--auth-file", b.auth, "--registry", "http://" + b.plain.address}},
			{4, []string{"connection refused"}, []string{"--registry", free(t)}},
			{2, []string{"has an @ in it"}, []string{"--registry", user + ":x@" + at}},
		} {
			b.ends(row.code, row.words, append(append([]string{"images", "check"}, row.args...), few...)...)
		}
	})
	t.Run("a pull that is cut goes on", func(t *testing.T) {
		b.T = t
		plain := "http://" + b.wire.address
		b.ends(0, nil, append(with("push", "--plain-http", "--to", "http://"+b.plain.address), few...)...)
		for _, out := range []string{filepath.Join(b.dir, "cut.tar"), filepath.Join(b.dir, "cut")} {
			b.wire.mend()
			b.wire.left.Store(20 << 20)
			args := append(with("pull", "--plain-http", "--from", plain, "-o", out), few...)
			first, _ := b.sums(b.ends(4, []string{"error: registry"}, args...))
			crossed := b.wire.down.Load()
			if _, err := os.Stat(filepath.Join(out, "lock.json")); err == nil {
				t.Error("a pull that was cut looks like a bundle")
			}
			b.wire.mend()
			second, there := b.sums(b.ends(0, nil, args...))
			if first == 0 || there == 0 || second == 0 {
				t.Errorf("first %d, then %d with %d there", first, second, there)
			}
			t.Logf("%s: %d bytes came over before the cut, %d after it", filepath.Base(out), crossed, b.wire.down.Load())
			b.wire.mend()
			if again, _ := b.sums(b.ends(0, nil, args...)); again != 0 {
				t.Errorf("a third pull fetched %d bytes", again)
			}
			if over := b.wire.down.Load(); over > 64<<10 {
				t.Errorf("a pull that has everything took %d bytes from the registry", over)
			}
			b.ends(0, []string{"4 components"}, "bundle", "inspect", "--bundle", out)
		}
	})
	t.Run("archives", func(t *testing.T) {
		b.T = t
		one, two, dir := filepath.Join(b.dir, "one.tar"), filepath.Join(b.dir, "two.tar"), filepath.Join(b.dir, "unpacked")
		b.ends(0, nil, append(with("pull", "-o", one), few...)...)
		b.ends(0, nil, append(with("pull", "--plain-http", "--from", "http://"+b.plain.address, "-o", two), few...)...)
		same(t, one, two)
		same(t, one, filepath.Join(b.dir, "cut.tar"))
		// And back: into a folder, and into a registry with nothing in it.
		b.ends(0, nil, "images", "pull", "--bundle", one, "-o", dir)
		b.ends(0, nil, "images", "pull", "--bundle", dir, "-o", filepath.Join(b.dir, "three.tar"))
		same(t, one, filepath.Join(b.dir, "three.tar"))
		empty := serve(t, reg, "", "")
		b.ends(0, nil, "images", "push", "--archive", one, "--plain-http", "--to", "http://"+empty.address+"/deep/er")
		b.ends(0, []string{"4 of 4"}, "images", "check", "--bundle", one, "--plain-http", "--registry", "http://"+empty.address+"/deep/er")
		// A folder or a file that is something else is left alone.
		taken := filepath.Join(b.dir, "taken.tar")
		must(t, os.WriteFile(taken, []byte("somebody's"), 0o600))
		b.ends(8, []string{"something else is there"}, "images", "pull", "--bundle", one, "-o", taken)
		b.ends(5, nil, "images", "pull", "--bundle", one, "--platform", "linux/arm64", "--plain-http", "--from", "http://"+b.plain.address, "-o", filepath.Join(b.dir, "arm.tar"))
	})
	t.Run("places that cannot be written", func(t *testing.T) {
		b.T = t
		for out, row := range map[string]struct {
			code  int
			words []string
		}{
			filepath.Join(b.dir, "nowhere", "x.tar"):  {2, []string{"cannot be written"}},
			filepath.Join(b.dir, "one.tar", "inside"): {2, []string{"cannot be written"}},
		} {
			b.ends(row.code, row.words, append(with("pull", "--plain-http", "--from", "http://"+b.plain.address, "-o", out), few...)...)
		}
	})
	t.Run("a registry that was started anew", func(t *testing.T) {
		b.T = t
		// It forgets the uploads that were begun: their folder is emptied after each answer to a POST.
		empty := serve(t, reg, "", "")
		forgets := forgetful(t, empty)
		b.ends(0, nil, append(with("push", "--plain-http", "--to", "http://"+forgets.address), few...)...)
		if forgets.times.Load() == 0 {
			t.Error("it forgot nothing")
		}
		b.ends(0, []string{"4 of 4"}, append(with("check", "--plain-http", "--registry", "http://"+empty.address), few...)...)
	})
	t.Run("mirror", func(t *testing.T) {
		b.T = t
		empty := serve(t, reg, "", "")
		config := filepath.Join(b.dir, "config.json")
		must(t, os.WriteFile(config, fmt.Appendf(nil, `{"auths":{%q:{"username":%q,"password":%q}}}`, b.secure.address, user, password), 0o600))
		args := append(with("mirror", "--from", b.secure.address+"/course", "--to", "http://"+empty.address, "--plain-http", "--ca", b.ca, "--auth-file", config), few...)
		over, _ := b.sums(b.ends(0, []string{"mirrored " + empty.address + "/pause"}, args...))
		again, _ := b.sums(b.ends(0, nil, args...))
		if over == 0 || again != 0 {
			t.Errorf("brought over %d bytes, then %d", over, again)
		}
		b.ends(0, []string{"4 of 4"}, append(with("check", "--plain-http", "--registry", "http://"+empty.address), few...)...)
	})
	t.Run("damage in the registry", func(t *testing.T) {
		b.T = t
		lock := opened.Lock
		runc, err := lock.File("runc")
		must(t, err)
		hex := strings.TrimPrefix(runc.Digest, "sha256:")
		data := filepath.Join(b.plain.root, "docker/registry/v2/blobs/sha256", hex[:2], hex, "data")
		whole, err := os.ReadFile(data)
		must(t, err)
		at := "http://" + b.plain.address
		must(t, os.WriteFile(data, whole[:len(whole)/2], 0o644))
		b.ends(3, []string{"bin/runc:" + runc.Version + ": damaged"}, "images", "check", "--plain-http", "--registry", at, "bin/runc")
		b.ends(5, []string{"was cut off after"}, "images", "pull", "--plain-http", "--from", at, "-o", filepath.Join(b.dir, "half"), "bin/runc")
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 1
		must(t, os.WriteFile(data, flipped, 0o644))
		b.ends(5, []string{"was asked for, and the bytes of"}, "images", "pull", "--plain-http", "--from", at, "-o", filepath.Join(b.dir, "half"), "bin/runc")
		if _, err := os.Stat(filepath.Join(b.dir, "half/blobs/sha256", hex)); err == nil {
			t.Error("a false blob was kept")
		}
		must(t, os.WriteFile(data, whole, 0o644))
		b.ends(0, nil, "images", "pull", "--plain-http", "--from", at, "-o", filepath.Join(b.dir, "half"), "bin/runc")
	})
	t.Run("a registry that goes away", func(t *testing.T) {
		b.T = t
		must(t, b.plain.cmd.Process.Kill())
		_ = b.plain.cmd.Wait()
		b.ends(4, []string{"connection refused"}, "images", "pull", "--plain-http", "--from", "http://"+b.plain.address, "-o", filepath.Join(b.dir, "gone"), "pause")
	})
}

func same(t *testing.T, one, two string) {
	t.Helper()
	a, err := os.ReadFile(one)
	must(t, err)
	b, err := os.ReadFile(two)
	must(t, err)
	if !bytes.Equal(a, b) {
		t.Errorf("%s (%d bytes) and %s (%d bytes) differ", one, len(a), two, len(b))
	}
}
