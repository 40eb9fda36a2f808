// Package fingerprint tells all that a host is, as text with one fact to a line: its files, units, sysctls, mounts, network, packages, users and
// processes. Two fingerprints of one host are equal if nothing was changed on it in between, so what an installer left behind is their difference.
//
// It looks only, and at everything that can be looked at without changing it. What an idle host changes by itself is left out, each by name and with its
// reason (volatile.go).
package fingerprint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Fact is one thing about a host. Kind and Name together are unique.
type Fact struct{ Kind, Name, Value string }

func (f Fact) String() string {
	return strings.TrimRight(f.Kind+" "+escape(f.Name)+" "+escape(f.Value), " ")
}

// escape keeps a fact on its line, whatever a file is called.
func escape(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }) {
		return s
	}
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}

// Options narrow a fingerprint.
type Options struct {
	Root string   // default "/"; another one has files only
	Skip []string // paths that are left out with all that is below them
	Only []string // kinds of facts that are wanted; default all
}

// section is one look at the host, and the kinds of facts that it tells.
type section struct {
	kinds []string
	look  func(context.Context, Options) ([]Fact, error)
}

// sections are in this order for what a look itself leaves behind for a moment: the processes come first.
var sections = []section{
	{[]string{"process"}, processes},
	{[]string{"listen"}, sockets},
	{[]string{"cgroup"}, cgroups},
	{[]string{"unit", "unit-file"}, units},
	{[]string{"mount", "swap"}, mounts},
	{[]string{"module"}, modules},
	{[]string{"apparmor"}, apparmor},
	{[]string{"selinux"}, selinux},
	{[]string{"sysctl"}, sysctls},
	{[]string{"link", "address", "route", "rule"}, network},
	{[]string{"nft"}, nftables},
	{[]string{"iptables"}, iptables},
	{[]string{"ipvs"}, ipvs},
	{[]string{"ipset"}, ipset},
	{[]string{"user", "group"}, users},
	{[]string{"package"}, packages},
	{[]string{"file", "mtime"}, files},
}

// Take looks at the host. The lines are sorted. What could not be looked at is an error, and the lines tell the rest.
func Take(ctx context.Context, o Options) ([]string, error) {
	if o.Root == "" {
		o.Root = "/"
	}
	var lines []string
	var errs []error
	for _, s := range sections {
		if !s.wanted(o) {
			continue
		}
		facts, err := s.look(ctx, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.kinds[0], err))
		}
		for _, f := range facts {
			if len(o.Only) == 0 || slices.Contains(o.Only, f.Kind) {
				lines = append(lines, f.String())
			}
		}
	}
	slices.Sort(lines)
	return lines, errors.Join(errs...)
}

func (s section) wanted(o Options) bool {
	if o.Root != "/" && s.kinds[0] != "file" {
		return false
	}
	return len(o.Only) == 0 || slices.ContainsFunc(s.kinds, func(k string) bool { return slices.Contains(o.Only, k) })
}

// Write writes lines as they are read by Read.
func Write(w io.Writer, lines []string) error {
	_, err := io.WriteString(w, strings.Join(append(slices.Clone(lines), ""), "\n"))
	return err
}

// Read reads what Write wrote.
func Read(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

// tool runs a program of the host and returns what it wrote to stdout; a host without it has nothing of what it would tell.
func tool(ctx context.Context, name string, args ...string) (out []byte, found bool, err error) {
	path := ""
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"} {
		if _, err := os.Stat(dir + name); err == nil {
			path = dir + name
			break
		}
	}
	if path == "" {
		return nil, false, nil
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	if out, err = cmd.Output(); err != nil {
		said := ""
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			said = ": " + strings.TrimSpace(string(exit.Stderr))
		}
		return nil, true, fmt.Errorf("%s %s: %w%s", name, strings.Join(args, " "), err, said)
	}
	return out, true, nil
}

// inContainer says whether the kernel below is shared with others, so that its modules and swap say nothing about this host.
func inContainer() bool {
	_, err := os.Stat("/run/systemd/container")
	return err == nil
}
