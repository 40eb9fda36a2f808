package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/template"
	"time"

	"github.com/kubewright/kubewright/bundle"
)

//go:embed kubeadm/*
var scripts embed.FS

// The hosts of the default lab, and where its registry answers.
const (
	master       = "master"
	registryAddr = "192.168.1.100:5000"
)

var nodes = []struct{ Name, Address string }{{master, "192.168.1.21"}, {"node-0001", "192.168.1.31"}, {"node-0002", "192.168.1.32"}}

// kubeadm measures the best script we know: every host fetches the same programs from the same registry, all at once and
// each in parallel; the workers pull their images while init runs; all join at once as soon as init is done, and flannel is
// applied at that moment.
func (b *lab) kubeadm(ctx context.Context) (lap, error) {
	lock, err := openLock()
	if err != nil {
		return lap{}, err
	}
	ca, err := b.host(ctx, "registry", "cat /etc/kubewright/pki/registry-ca.crt")
	if err != nil {
		return lap{}, err
	}
	began := time.Now()
	ready := make(chan error, 1) // the control plane answers
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			errs[i] = func() error {
				if err := b.script(ctx, lock, ca, n.Name, n.Address, "prepare.sh"); err != nil {
					return err
				}
				if n.Name == master {
					err := b.script(ctx, lock, ca, n.Name, n.Address, "init.sh")
					ready <- err
					close(ready)
					return err
				}
				if err := <-ready; err != nil {
					return nil // told by the master
				}
				return b.script(ctx, lock, ca, n.Name, n.Address, "join.sh")
			}()
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return lap{}, err
	}
	var l lap
	wait := func(what ...string) error {
		_, err := b.host(ctx, master, "kubectl --kubeconfig /etc/kubernetes/admin.conf "+strings.Join(what, " "))
		return err
	}
	if err := wait("wait --for=condition=Ready nodes --all --timeout=180s"); err != nil {
		return lap{}, err
	}
	l.ready = time.Since(began)
	for _, ds := range []string{"-n kube-system rollout status ds/kube-proxy --timeout=180s", "-n kube-flannel rollout status ds/kube-flannel-ds --timeout=180s"} {
		if err := wait(ds); err != nil {
			return lap{}, err
		}
	}
	l.all = time.Since(began)
	out, err := b.host(ctx, master, "kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes --no-headers")
	if err != nil {
		return lap{}, err
	}
	if n := strings.Count(out, " Ready "); n != len(nodes) {
		return lap{}, fmt.Errorf("%d nodes are Ready, want %d:\n%s", n, len(nodes), out)
	}
	return l, nil
}

func openLock() (bundle.Lock, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return bundle.Lock{}, err
	}
	opened, err := bundle.Open(filepath.Join(cache, "kubewright", "bundle"))
	if err != nil {
		return bundle.Lock{}, err
	}
	return opened.Lock, nil
}

// script renders one of the embedded scripts and runs it on a host.
func (b *lab) script(ctx context.Context, lock bundle.Lock, ca, name, address, file string) error {
	t, err := template.New(file).Option("missingkey=error").Funcs(template.FuncMap{
		"url": func(file string) (string, error) {
			c, err := lock.File(file)
			return "https://" + registryAddr + c.BlobPath(), err
		},
		"image": func(image string) (string, error) {
			c, err := lock.Image(image)
			return c.Tagged(registryAddr), err
		},
		"version": func(image string) (string, error) {
			c, err := lock.Image(image)
			return c.Version, err
		},
	}).ParseFS(scripts, "kubeadm/*")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.ExecuteTemplate(&text, file, map[string]string{
		"Name": name, "Address": address, "Registry": registryAddr, "CA": ca, "Master": nodes[0].Address,
	}); err != nil {
		return err
	}
	cmd := b.command(ctx, "lab", "--dir", b.dir, "ssh", name, "--", "bash", "-s")
	cmd.Stdin = &text
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %s: %w\n%s", name, file, err, out)
	}
	return nil
}

// host runs a command on a host.
func (b *lab) host(ctx context.Context, name, command string) (string, error) {
	var stderr bytes.Buffer
	cmd := b.command(ctx, "lab", "--dir", b.dir, "ssh", name, "--", command)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w\n%s", name, command, err, stderr.String())
	}
	return string(out), nil
}

// memory is the largest size, in MiB, that a command and what it started had.
func memory(cmd *exec.Cmd) int64 {
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss >> 10
	}
	return 0
}
