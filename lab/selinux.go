package lab

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// selinuxPackages are Debian's policy, and the programs that load it and label files by it.
var selinuxPackages = []string{"policycoreutils", "selinux-policy-default"}

// fileContexts is what label every path has by the policy.
const fileContexts = "/etc/selinux/default/contexts/files/file_contexts"

// enforceable gives a virtual machine's tree the policy, and every file the label that it wants: user-mode-linux has SELinux on unless it finds no
// policy. That is done before the tree becomes a disk, because here it takes seconds, and there minutes and one more boot. The host starts
// permissive, as Debian sets it up.
func (c container) enforceable(ctx context.Context) (err error) {
	proc := c.root() + "/proc"
	if err := unix.Mount("proc", proc, "proc", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", proc, err)
	}
	defer func() { err = errors.Join(err, unmount(proc)) }()
	// Copied, where others get them bound: else they would be labelled where the machine has them.
	for path, from := range map[string]string{"/usr/lib/modules": umlModules, packagesPath: offeredPackages()} {
		at := c.root() + path
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := run(ctx, "cp", "--recursive", "--preserve=mode,timestamps,links", from+"/.", at); err != nil {
			return err
		}
	}
	install := append([]string{"/usr/bin/apt-get", "--quiet", "--yes", "--no-install-recommends", "install"}, selinuxPackages...)
	if err := errors.Join(inside(ctx, c.root(), "/usr/bin/apt-get", "--quiet", "update"), inside(ctx, c.root(), install...)); err != nil {
		return err
	}
	return inside(ctx, c.root(), "/usr/sbin/setfiles", "-F", "-e", "/proc", fileContexts, "/")
}
