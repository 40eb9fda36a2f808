package lab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/inventory"
)

// patience is how long a host may take from start to ssh; it takes a second or two, a virtual machine five, and both more on a busy machine.
const patience = 3 * time.Minute

// Up makes the lab, or makes an unfinished one whole, and returns when every host can be logged into and has booted. The
// user then has DIR/cluster.yaml, DIR/id_ed25519 and DIR/known_hosts.
func Up(ctx context.Context, o Options) error {
	if err := checkTools(needs); err != nil {
		return err
	}
	release, err := lock()
	if err != nil {
		return err
	}
	defer release()
	rec, err := claim(o)
	if err != nil {
		return err
	}
	if len(rec.VMs) > 0 {
		if err := errors.Join(checkTools(vmNeeds), roomFor(rec)); err != nil {
			return err
		}
	}
	base, err := rootfs(ctx, o)
	if err != nil {
		return err
	}
	if err := offerPackages(ctx, o, base, rec.Packages); err != nil {
		return err
	}
	net, err := subnetOf(rec.Cluster.Spec.Hosts)
	if err != nil {
		return err
	}
	if err := makeBridge(ctx, net); err != nil {
		return err
	}
	key, err := keyAt(filepath.Join(rec.Dir, keyName), "kubewright lab")
	if err != nil {
		return err
	}
	if err := settleHosts(rec, base, key); err != nil {
		return err
	}
	began := time.Now()
	var g errgroup.Group
	for _, h := range rec.Cluster.Spec.Hosts {
		g.Go(func() error {
			if err := bring(ctx, rec.container(h), net, key); err != nil {
				return err
			}
			o.say("%s (%s) is up after %.1f s", h.Name, h.Address, time.Since(began).Seconds())
			return nil
		})
	}
	return g.Wait()
}

// claim writes down which lab this is, or finds that it is this one already. It is the first thing Up writes.
func claim(o Options) (record, error) {
	dir, err := o.dir()
	if err != nil {
		return record{}, err
	}
	there, err := readRecord()
	if err != nil && !errors.Is(err, ErrNoLab) {
		return record{}, err
	}
	isThere := err == nil
	want := o.Cluster
	if want == nil && isThere {
		want = &there.Cluster
	}
	rec := record{Dir: dir, Cluster: *cmp.Or(want, Default()), VMs: there.VMs, Packages: there.Packages, SELinux: o.SELinux || there.SELinux}
	if o.VMs != nil {
		if rec.VMs, err = machinesOf(rec.Cluster, o.VMs); err != nil {
			return record{}, err
		}
	}
	if rec.SELinux && len(rec.VMs) == 0 {
		return record{}, errors.New("SELinux is the kernel's, so only virtual machines can have it here: add --vm")
	}
	if o.Packages != nil || o.SELinux {
		wanted := o.Packages
		if rec.SELinux {
			wanted = slices.Concat(wanted, selinuxPackages)
		}
		if rec.Packages, err = wantedPackages(wanted); err != nil {
			return record{}, err
		}
	}
	if err := check(&rec.Cluster); err != nil {
		return record{}, err
	}
	if isThere && !slices.Equal(rec.Packages, there.Packages) {
		return record{}, fmt.Errorf("the lab that is up has other packages (%s): take it down first: kubewright lab down", cmp.Or(strings.Join(there.Packages, ", "), "none"))
	}
	if isThere && (!sameHosts(rec.Cluster, there.Cluster) || rec.Dir != there.Dir) {
		return record{}, fmt.Errorf("another lab is up (%s, made from %s): take it down first: kubewright lab down", names(there.Cluster), there.Dir)
	}
	if isThere && rec.SELinux != there.SELinux {
		return record{}, errors.New("the lab that is up has no SELinux: take it down first: kubewright lab down")
	}
	if isThere && !slices.Equal(rec.VMs, there.VMs) {
		return record{}, fmt.Errorf("the lab that is up has other virtual machines (%s): take it down first: kubewright lab down", cmp.Or(strings.Join(there.VMs, ", "), "none"))
	}
	if !isThere {
		left, err := leftovers()
		if err != nil {
			return record{}, err
		}
		if len(left) > 0 {
			return record{}, fmt.Errorf("there are remains of another lab (%s): take it down first: kubewright lab down", left[0])
		}
	}
	if err := ownDir(dir); err != nil {
		return record{}, err
	}
	return rec, rec.write()
}

// marker is a file in the user's directory that says that the lab may write and remove there.
const marker = ".kubewright-lab"

// ownDir makes the user's directory the lab's. One that holds anything else is refused: the lab writes files there by names that others
// use too, and removes them in the end.
func ownDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(dir, marker)); err == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty (it has %s): name a new or an empty folder with --dir", dir, entries[0].Name())
	}
	return os.WriteFile(filepath.Join(dir, marker), []byte("kubewright lab up made this folder; lab down empties it.\n"), 0o644)
}

func sameHosts(a, b inventory.Cluster) bool {
	return slices.EqualFunc(a.Spec.Hosts, b.Spec.Hosts, func(x, y inventory.Host) bool {
		return x.Name == y.Name && x.Address == y.Address
	})
}

func names(c inventory.Cluster) string {
	var s []string
	for _, h := range c.Spec.Hosts {
		s = append(s, h.Name)
	}
	return strings.Join(s, ", ")
}

// settleHosts gives every host its disk and its key and then writes the user's files.
func settleHosts(rec record, base string, key keypair) error {
	fingerprints := map[string]string{}
	var known bytes.Buffer
	for _, h := range rec.Cluster.Spec.Hosts {
		c := rec.container(h)
		if err := c.mountRoot(base); err != nil {
			return err
		}
		hostKey, err := c.hostKey()
		if err != nil {
			return err
		}
		if err := c.settle(key); err != nil {
			return err
		}
		fingerprints[h.Name] = hostKey.fingerprint()
		fmt.Fprintf(&known, "%s,%s %s", h.Name, h.Address, hostKey.authorized)
	}
	text, err := render(settle(rec.Cluster, fingerprints, rec.isVM))
	if err != nil {
		return err
	}
	return errors.Join(
		writeFile(filepath.Join(rec.Dir, keyName+".pub"), []byte(key.authorized), 0o644),
		writeFile(filepath.Join(rec.Dir, "known_hosts"), known.Bytes(), 0o644),
		writeFile(filepath.Join(rec.Dir, "cluster.yaml"), text, 0o644),
	)
}

// plug makes what the host boots from whole, and gives it its cable.
func (c container) plug(ctx context.Context, net subnet) error {
	if !c.vm {
		return plug(ctx, c.Host, net)
	}
	if err := c.makeDisk(ctx, net); err != nil {
		return err
	}
	return plugVM(ctx, c.Host)
}

// bring starts one host, unless it runs, and waits until it can be used.
func bring(ctx context.Context, c container, net subnet, key keypair) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %s", patience))
	defer cancel()
	if err := c.plug(ctx, net); err != nil {
		return fmt.Errorf("host %s: %w", c.Name, err)
	}
	all, err := labCgroups()
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	if len(processes(all[cgroupOf(c.Name)])) == 0 {
		cmd, err := c.start()
		if err != nil {
			return err
		}
		go func() { ended <- cmd.Wait() }()
	}
	ready := make(chan error, 1)
	go func() { ready <- c.await(ctx, key) }()
	select {
	case err = <-ready:
	case err = <-ended:
		err = fmt.Errorf("it ended: %w", cmp.Or(err, errors.New("exit status 0")))
	}
	if err != nil {
		b, _ := os.ReadFile(c.log)
		return fmt.Errorf("host %s: %w\n%s", c.Name, err, lastLines(string(b), 10))
	}
	return nil
}

// await returns when the host lets us in and says that its boot is over.
func (c container) await(ctx context.Context, key keypair) error {
	for {
		client, err := c.login(ctx, "root", key)
		if err == nil {
			defer client.Close()
			s, err := client.NewSession()
			if err != nil {
				return err
			}
			// Exit status 1 says degraded; which units failed is for the user to see and not a reason to have no lab.
			if out, err := s.CombinedOutput("systemctl is-system-running --wait"); len(out) == 0 {
				return fmt.Errorf("systemctl is-system-running: %w", err)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c container) sshAddr() netip.AddrPort { return netip.AddrPortFrom(c.Address, 22) }
