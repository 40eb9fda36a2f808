package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/inventory"
)

const (
	bridge   = "kwlab0"
	netnsDir = "/run/netns" // where ip-netns(8) keeps its names
)

// makeBridge makes the namespace that the installer and every probe run in: a bridge with an address, and no uplink. It
// forwards, so that a packet for elsewhere is answered at once (network unreachable) rather than swallowed.
func makeBridge(ctx context.Context, net subnet) error {
	if err := makeNetns(ctx, prefix); err != nil {
		return err
	}
	if !hasLink(ctx, prefix, bridge) {
		if err := run(ctx, "ip", "-n", prefix, "link", "add", "name", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0"); err != nil {
			return err
		}
	}
	err := runAll(ctx,
		[]string{"ip", "-n", prefix, "link", "set", "dev", "lo", "up"},
		[]string{"ip", "-n", prefix, "link", "set", "dev", bridge, "up"},
		addressArgs(prefix, bridge, net.gateway, net.prefix.Bits()),
	)
	if err != nil {
		return err
	}
	return inNetns(prefix, func() error {
		err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
		if net.gateway.Is6() {
			err = errors.Join(err, os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0))
		}
		return err
	})
}

// plug gives a host its network namespace and a cable to the bridge.
func plug(ctx context.Context, h inventory.Host, net subnet) error {
	ns, port := netnsOf(h.Name), portOf(h.Name)
	if err := makeNetns(ctx, ns); err != nil {
		return err
	}
	if !hasLink(ctx, ns, "eth0") {
		if hasLink(ctx, prefix, port) {
			if err := run(ctx, "ip", "-n", prefix, "link", "del", "dev", port); err != nil {
				return err
			}
		}
		if err := run(ctx, "ip", "-n", prefix, "link", "add", "name", port, "type", "veth",
			"peer", "name", "eth0", "address", macOf(h.Name), "netns", ns); err != nil {
			return err
		}
	}
	return runAll(ctx, plugArgs(h, net)...)
}

// plugArgs are the steps of plug that may be repeated.
func plugArgs(h inventory.Host, net subnet) [][]string {
	ns := netnsOf(h.Name)
	return [][]string{
		{"ip", "-n", prefix, "link", "set", "dev", portOf(h.Name), "master", bridge, "up"},
		{"ip", "-n", ns, "link", "set", "dev", "lo", "up"},
		{"ip", "-n", ns, "link", "set", "dev", "eth0", "up"},
		addressArgs(ns, "eth0", h.Address, net.prefix.Bits()),
		{"ip", "-n", ns, "route", "replace", "default", "via", net.gateway.String()},
	}
}

func addressArgs(ns, dev string, a netip.Addr, bits int) []string {
	args := []string{"ip", "-n", ns, "address", "replace", netip.PrefixFrom(a, bits).String(), "dev", dev}
	if a.Is6() {
		args = append(args, "nodad") // nobody else is there to have the address
	}
	return args
}

// unplug takes the cable out and forgets the host's network namespace, as a reboot forgets links, routes and rules.
func unplug(ctx context.Context, host string) error {
	// The cable by name, at once: a namespace's own end comes some time after its name is gone.
	if port := portOf(host); isNetns(prefix) && hasLink(ctx, prefix, port) {
		if err := run(ctx, "ip", "-n", prefix, "link", "del", "dev", port); err != nil {
			return err
		}
	}
	return removeNetns(ctx, netnsOf(host))
}

func hasLink(ctx context.Context, ns, link string) bool {
	return run(ctx, "ip", "-n", ns, "link", "show", "dev", link) == nil
}

func runAll(ctx context.Context, cmds ...[]string) error {
	for _, argv := range cmds {
		if err := run(ctx, argv...); err != nil {
			return err
		}
	}
	return nil
}

func makeNetns(ctx context.Context, ns string) error {
	if isNetns(ns) {
		return nil
	}
	if err := removeNetns(ctx, ns); err != nil {
		return err
	}
	return run(ctx, "ip", "netns", "add", ns)
}

// isNetns tells a namespace from the empty file that a killed "ip netns add" leaves.
func isNetns(ns string) bool {
	var st unix.Statfs_t
	return unix.Statfs(filepath.Join(netnsDir, ns), &st) == nil && st.Type == unix.NSFS_MAGIC
}

func removeNetns(ctx context.Context, ns string) error {
	path := filepath.Join(netnsDir, ns)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if isNetns(ns) {
		return run(ctx, "ip", "netns", "del", ns)
	}
	return os.Remove(path)
}

// labNetns lists the lab's network namespaces, the hosts' first.
func labNetns() []string {
	var out []string
	names, _ := os.ReadDir(netnsDir) // none without the directory
	for _, n := range names {
		if strings.HasPrefix(n.Name(), prefix+"-") {
			out = append(out, n.Name())
		}
	}
	for _, n := range names {
		if n.Name() == prefix {
			out = append(out, prefix)
		}
	}
	return out
}

// tidyNetnsDir removes the directory that ip-netns(8) mounts onto itself, if nobody has a name in it any more.
func tidyNetnsDir() error {
	names, err := os.ReadDir(netnsDir)
	if err != nil || len(names) > 0 {
		return nil
	}
	if mounted(netnsDir) {
		if err := unix.Unmount(netnsDir, 0); err != nil {
			return nil // somebody has just put a name into it
		}
	}
	unix.Rmdir(netnsDir)
	return nil
}

// inNetns calls f on a thread that is inside the namespace.
func inNetns(ns string, f func() error) error {
	to, err := os.Open(filepath.Join(netnsDir, ns))
	if err != nil {
		return err
	}
	defer to.Close()
	runtime.LockOSThread()
	back, err := os.Open("/proc/thread-self/ns/net")
	if err == nil {
		defer back.Close()
		err = unix.Setns(int(to.Fd()), unix.CLONE_NEWNET)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("network namespace %s: %w", ns, err)
	}
	err = f()
	if unix.Setns(int(back.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread() // otherwise the runtime ends the thread with its goroutine
	}
	return err
}

// dial connects from inside the bridge's namespace. A socket stays in the namespace it was made in. A host that boots, or a slow one that has much to do,
// may let some seconds pass before it answers; asked anew each second, it is reached as soon as it does.
func dial(ctx context.Context, to netip.AddrPort) (conn net.Conn, err error) {
	for range 10 {
		err = inNetns(prefix, func() (err error) {
			d := net.Dialer{Timeout: time.Second}
			conn, err = d.DialContext(ctx, "tcp", to.String())
			return err
		})
		var network net.Error
		if !errors.As(err, &network) || !network.Timeout() || ctx.Err() != nil {
			break
		}
	}
	return conn, err
}
