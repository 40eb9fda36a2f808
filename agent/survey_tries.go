package agent

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

// resolve looks names up as programs on the host do.
func resolve(ctx context.Context, names []string) []Resolved {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out := make([]Resolved, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			addrs, err := (&net.Resolver{}).LookupHost(ctx, name)
			slices.Sort(addrs)
			out[i].Addresses = addrs[:min(len(addrs), maxNames)]
			if err != nil {
				var dns *net.DNSError
				if out[i].Error = bareError(err); errors.As(err, &dns) {
					out[i].Error = dns.Err
				}
			}
		})
	}
	all.Wait()
	return out
}

// Fsync is how long a disk takes to keep what etcd appends to its log.
type Fsync struct {
	Count int           `json:"count"`
	P50   time.Duration `json:"p50"`
	P99   time.Duration `json:"p99"`
	Max   time.Duration `json:"max"`
	Error string        `json:"error,omitempty"`
}

// What etcd's log is made of: appends of about 2 KiB, each followed by fdatasync. No more is written than etcd's own advice for such a test.
const (
	appendSize = 2 << 10
	maxAppends = 22 << 20 / appendSize
)

// timeFsync writes to a file without a name (O_TMPFILE), which no directory ever shows and which is gone with its descriptor, also when we are
// killed.
func timeFsync(ctx context.Context, dir string, span time.Duration) *Fsync {
	for dir != "/" {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
			break
		}
		dir = filepath.Dir(dir)
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &Fsync{Error: "a file without a name cannot be made there: " + bareError(err)}
	}
	defer unix.Close(fd)
	block := make([]byte, appendSize)
	for i := range block {
		block[i] = byte(i)
	}
	var took []time.Duration
	for end := time.Now().Add(span); time.Now().Before(end) && len(took) < maxAppends && ctx.Err() == nil; {
		began := time.Now()
		if _, err := unix.Write(fd, block); err != nil {
			return &Fsync{Error: bareError(err)}
		}
		if err := unix.Fdatasync(fd); err != nil {
			return &Fsync{Error: bareError(err)}
		}
		took = append(took, time.Since(began))
	}
	if len(took) == 0 {
		return &Fsync{Error: "there was no time for it"}
	}
	slices.Sort(took)
	at := func(share float64) time.Duration { return took[min(len(took)-1, int(share*float64(len(took))))] }
	return &Fsync{Count: len(took), P50: at(0.5), P99: at(0.99), Max: took[len(took)-1]}
}

// RegistryAsk is what a host tries to get from the registry.
type RegistryAsk struct {
	Address   string     `json:"address"` // host:port
	Authority string     `json:"authority,omitempty"`
	Manifests []Manifest `json:"manifests"`
}

// Manifest is what an image or a program is in the registry.
type Manifest struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"` // or a tag
}

const maxManifest = 4 << 20

// trustedRegistry is where a host of ours finds the registry's authority.
const trustedRegistry = "/etc/kubewright/pki/registry-ca.crt"

// tryPulls asks the registry for each manifest, verified as the runtime does: by the authority that this host trusts, or will.
func tryPulls(ctx context.Context, m ops.Machine, ask RegistryAsk) []string {
	roots := x509.NewCertPool()
	authority := readText(m.Path(trustedRegistry))
	if authority == "" {
		authority = ask.Authority
	}
	if authority == "" || !roots.AppendCertsFromPEM([]byte(authority)) {
		roots = nil // the system's own
	}
	client := &http.Client{
		Timeout:       8 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ // and no proxy: the runtime has none for it either
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 5 * time.Second, MaxConnsPerHost: 4,
		},
	}
	defer client.CloseIdleConnections()
	out := make([]string, len(ask.Manifests))
	var all sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i, want := range ask.Manifests {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			out[i] = "ok"
			if err := tryPull(ctx, client, ask.Address, want); err != nil {
				out[i] = clip(err.Error(), maxName)
			}
		})
	}
	all.Wait()
	return out
}

func tryPull(ctx context.Context, client *http.Client, registry string, want Manifest) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+registry+"/v2/"+want.Repository+"/manifests/"+want.Digest, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json")
	answer, err := client.Do(r)
	if err != nil {
		return plainHTTP(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the registry answers %s", answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxManifest+1))
	if err != nil {
		return plainHTTP(err)
	}
	if !strings.HasPrefix(want.Digest, "sha256:") {
		return nil // a tag may be anything
	}
	if sum := sha256.Sum256(body); "sha256:"+hex.EncodeToString(sum[:]) != want.Digest {
		return errors.New("the registry sends something else than the digest says")
	}
	return nil
}

// plainHTTP leaves out the address, which stands beside it.
func plainHTTP(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return errors.New("the registry's certificate is signed by an authority that the host does not trust")
	case errors.As(err, &name):
		return fmt.Errorf("the registry's certificate is for another name: %w", name)
	case errors.As(err, &invalid):
		return fmt.Errorf("the registry's certificate is not valid: %w", invalid)
	case isTimeout(err):
		return errors.New("the registry does not answer in time")
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

// tryOverlay makes an overlay of directories in memory, in a mount namespace that nobody else sees, writes a file through it, and says ok or what did
// not work. The module that the kernel loads for it goes again.
func tryOverlay(m ops.Machine) string {
	before, err := ops.Loaded(m, "overlay")
	if err == nil {
		err = ops.Aside(mountOverlay)
	}
	if err == nil && !before {
		err = ops.Unload(m, "overlay")
	}
	if err != nil {
		return clip(err.Error(), maxName)
	}
	return "ok"
}

func mountOverlay() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("a mount namespace cannot be made: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts cannot be made private: %w", err)
	}
	const at = "/run" // where every host has a directory
	if err := unix.Mount("kubewright", at, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		return fmt.Errorf("a file system in memory cannot be mounted: %w", err)
	}
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := unix.Mkdir(at+"/"+d, 0o700); err != nil {
			return err
		}
	}
	if err := unix.Mount("overlay", at+"/merged", "overlay", 0, "lowerdir="+at+"/lower,upperdir="+at+"/upper,workdir="+at+"/work"); err != nil {
		return fmt.Errorf("an overlay cannot be mounted: %w", err)
	}
	fd, err := unix.Open(at+"/merged/file", unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("an overlay cannot be written to: %w", err)
	}
	if err := unix.Close(fd); err != nil {
		return err
	}
	return unix.Unmount(at+"/merged", 0) // the rest goes with the thread that has the namespace
}

// tryContainer has the runtime run an image that it has, looks that it runs, and takes it away again.
func tryContainer(ctx context.Context, m ops.Machine, image string) string {
	const ctr, id = "/usr/local/bin/ctr", "kubewright-trial"
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	run := func(args ...string) (string, error) {
		out, err := m.Run(ctx, append([]string{ctr, "-n", "k8s.io"}, args...)...)
		return string(out), err
	}
	tidy := func() error {
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, err := run("tasks", "rm", "--force", id)
		if _, also := run("containers", "rm", id); also != nil {
			return also
		}
		return err
	}
	_ = func() error { _, err := run("containers", "rm", id); return err }() // of a trial that was cut off
	if _, err := run("run", "--detach", image, id); err != nil {
		_ = tidy()
		return clip("it does not start: "+err.Error(), maxMessage)
	}
	list, err := run("tasks", "ls")
	state := ""
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == id {
			state = f[2]
		}
	}
	if err := tidy(); err != nil {
		return clip("it ran, and could not be taken away: "+err.Error(), maxMessage)
	}
	if err != nil || state != "RUNNING" {
		return clip(fmt.Sprintf("it was started and does not run: %s %v", strings.ToLower(state), err), maxMessage)
	}
	return "ok"
}
