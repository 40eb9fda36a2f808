//go:build e2e

package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestRefusals is about hosts that must not be worked on, or cannot be: each is named, with what to do, and the exit code says which
// kind of trouble it is. It needs a cluster that is there.
func TestRefusals(t *testing.T) {
	must(t, kubewright(bounded(t), "up"))
	t.Run("a changed host key", func(t *testing.T) {
		other := ssh.FingerprintSHA256(newKey(t).PublicKey())
		file := inventoryWith(t, func(s string) string { return replaceFirst(s, `SHA256:[A-Za-z0-9+/]{43}`, other) })
		refused(t, file, 4, "master", "key")
	})
	t.Run("an unknown host key, until it is trusted", func(t *testing.T) {
		home := t.TempDir()
		file := inventoryWith(t, func(s string) string {
			return regexp.MustCompile(`(?m)^ *(hostKeys:.*|- SHA256:.*)\n`).ReplaceAllString(s, "")
		})
		cmd := func(args ...string) result {
			c := inLab(bounded(t), append([]string{"env", "HOME=" + home, "XDG_CACHE_HOME=" + cache(t), "kubewright"}, append(args, "-f", file)...)...)
			return run(t, c)
		}
		if r := cmd("plan"); r.code != 4 || !strings.Contains(r.stderr, "kubewright trust") || !strings.Contains(r.stderr, "SHA256:") {
			t.Errorf("plan: exit %d, want 4 and what to do:\n%s", r.code, r.stderr)
		}
		if r := cmd("trust"); r.code != 0 || !strings.Contains(r.stdout, "SHA256:") {
			t.Fatalf("trust: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		if r := cmd("plan", "--exit-code"); r.code != 0 {
			t.Errorf("plan after trust: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
	t.Run("a refused login", func(t *testing.T) {
		key := filepath.Join(t.TempDir(), "key")
		block, err := ssh.MarshalPrivateKey(newPrivate(t), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(key, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		file := inventoryWith(t, func(s string) string { return replaceFirst(s, `keyFile: .*`, "keyFile: "+key) })
		refused(t, file, 4, "master", "root")
	})
	t.Run("a login with sudo", func(t *testing.T) {
		file := inventoryWith(t, func(s string) string { return replaceFirst(s, `user: root`, "user: admin") })
		r := run(t, inLab(bounded(t), "kubewright", "up", "-f", file))
		if r.code != 0 || !strings.HasPrefix(r.stdout, "nothing to do") {
			t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		rule := strings.TrimSpace(onHost(t, "node-0001", "grep -rl '^admin' /etc/sudoers.d").stdout)
		ok(t, onHost(t, "node-0001", "mv", rule, "/root/sudoers-of-admin"))
		defer func() { ok(t, onHost(t, "node-0001", "mv", "/root/sudoers-of-admin", rule)) }()
		refused(t, file, 4, "node-0001", "sudo")
	})
	t.Run("a host that is down", func(t *testing.T) {
		ok(t, run(t, inLab(bounded(t), "ip", "link", "set", "dev", "node-0002", "down")))
		defer func() { ok(t, run(t, inLab(bounded(t), "ip", "link", "set", "dev", "node-0002", "up"))) }()
		refused(t, filepath.Join(labDir, "cluster.yaml"), 4, "node-0002")
		r := run(t, kubewright(bounded(t), "status"))
		if r.code != 0 || !strings.Contains(r.stdout, "not reached") {
			t.Errorf("status: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
}

// TestFailedStep makes one step of one host impossible: the others go on, the failure says all that is needed, and up continues from
// there once it is mended.
func TestFailedStep(t *testing.T) {
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	for _, row := range []struct {
		inTheWay string
		code     int
	}{
		{"/usr/local/sbin/runc", 3},             // seen before anything is changed
		{"/usr/local/sbin/.runc.kubewright", 5}, // where the new file is written first
	} {
		ok(t, onHost(t, "node-0002", "mkdir "+row.inTheWay))
		r := run(t, kubewright(bounded(t), "up"))
		if r.code != row.code {
			t.Errorf("%s: exit %d, want %d", row.inTheWay, r.code, row.code)
		}
		for _, want := range []string{"node-0002", "binaries", "file:/usr/local/sbin/runc", "starts the containers", "run the same command again"} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("the failure does not say %q:\n%s", want, r.stderr)
			}
		}
		ok(t, onHost(t, "node-0002", "rmdir "+row.inTheWay))
	}
	upReady(t)
}

// TestTwoInstallers starts a second run while the first is at work.
func TestTwoInstallers(t *testing.T) {
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	first := kubewright(bounded(t), "up")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	began := time.Now()
	r := run(t, kubewright(bounded(t), "up"))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the second took %s to say so", took)
	}
	if r.code != 6 || !strings.Contains(r.stderr, "root@") {
		t.Errorf("the second: exit %d, want 6 and the first one's name:\n%s", r.code, r.stderr)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("the first: %v", err)
	}
}

// refused runs plan with an inventory and expects the exit code and the words.
func refused(t *testing.T, file string, code int, words ...string) {
	t.Helper()
	r := run(t, inLab(bounded(t), "kubewright", "plan", "-f", file))
	if r.code != code {
		t.Errorf("exit %d, want %d\n%s", r.code, code, r.stderr)
	}
	for _, w := range append(words, "what to do:") {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("it does not say %q:\n%s", w, r.stderr)
		}
	}
}

// inventoryWith is the lab's inventory, changed, in a file beside it.
func inventoryWith(t *testing.T, change func(string) string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(labDir, "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(raw))
	if changed == string(raw) {
		t.Fatalf("the inventory was not changed:\n%s", raw)
	}
	file := filepath.Join(labDir, "changed.yaml")
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file) })
	return file
}

// withPods is the inventory with another number of pods for every node, which only its kubelet is concerned with.
func withPods(s string, n int) string {
	if changed := replaceFirst(s, `maxPods: \d+`, fmt.Sprintf("maxPods: %d", n)); changed != s {
		return changed
	}
	return replaceFirst(s, `(?m)^  kubelet:`, fmt.Sprintf("  kubelet:\n    maxPods: %d", n))
}

func replaceFirst(s, pattern, with string) string {
	at := regexp.MustCompile(pattern).FindStringIndex(s)
	if at == nil {
		return s
	}
	return s[:at[0]] + with + s[at[1]:]
}

func newPrivate(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(newPrivate(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cache(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
