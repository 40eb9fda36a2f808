package fingerprint

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sysctls tells every setting of the kernel that can be read.
func sysctls(context.Context, Options) ([]Fact, error) {
	const base = "/proc/sys"
	var facts []Fact
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == base {
			return nil // a link went while we looked, or it is not for us
		}
		name := strings.TrimPrefix(path, base+"/")
		for _, v := range volatileSysctls {
			if atOrBelow(v.path, name) {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Mode().Perm()&0o444 == 0 {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil {
			facts = append(facts, Fact{"sysctl", name, strings.Join(strings.Fields(string(b)), " ")})
		}
		return nil
	})
	return facts, err
}

// modules tells what is loaded into the kernel. In a container that is not the host's.
func modules(context.Context, Options) ([]Fact, error) {
	if inContainer() {
		return nil, nil
	}
	return readLines("/proc/modules", func(f []string) []Fact { return []Fact{{"module", f[0], ""}} })
}

// apparmor tells which profiles the kernel knows.
func apparmor(context.Context, Options) ([]Fact, error) {
	if inContainer() {
		return nil, nil
	}
	return readLines("/sys/kernel/security/apparmor/profiles", func(f []string) []Fact { return []Fact{{"apparmor", f[0], strings.Join(f[1:], " ")}} })
}

// selinux tells whether the kernel's policy counts. In a container that is not the host's.
func selinux(context.Context, Options) ([]Fact, error) {
	if inContainer() {
		return nil, nil
	}
	return readLines("/sys/fs/selinux/enforce", func(f []string) []Fact { return []Fact{{"selinux", "enforce", f[0]}} })
}

// mounts tells what is mounted where and what memory is swapped to, in the order in which it came.
func mounts(context.Context, Options) ([]Fact, error) {
	facts, err := readLines("/proc/self/mountinfo", mountFact)
	if err != nil || inContainer() {
		return facts, err
	}
	swaps, err := readLines("/proc/swaps", func(f []string) []Fact {
		if f[0] == "Filename" || len(f) < 5 {
			return nil
		}
		return []Fact{{"swap", f[0], f[1] + " " + f[2] + " priority " + f[4]}}
	})
	return append(facts, swaps...), err
}

// mountFact reads a line of mountinfo(5): ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE SUPER.
func mountFact(f []string) []Fact {
	dash := -1
	for i := 6; i < len(f); i++ {
		if f[i] == "-" {
			dash = i
			break
		}
	}
	if dash < 0 || len(f) < dash+4 {
		return nil
	}
	if point := f[4]; told(point) == never && (atOrBelow("/run/user", point) || atOrBelow("/run/credentials", point)) {
		return nil // of logins and of units
	}
	// How propagation groups are numbered says nothing; that there is one does.
	var tags []string
	for _, tag := range f[6:dash] {
		name, _, _ := strings.Cut(tag, ":")
		tags = append(tags, name)
	}
	root := f[3]
	if strings.HasSuffix(root, "//deleted") { // a name of chance, as systemd-nspawn gives it to what it mounts over files of /proc
		root = "//deleted"
	}
	value := f[dash+1] + " " + f[dash+2] + root + " " + f[5] + " " + strings.Join(tags, ",") + " " + f[dash+3]
	return []Fact{{"mount", f[4], value}}
}

// readLines makes facts of a file's lines, each as its words. A kernel that has no such file has nothing of it.
func readLines(path string, fact func([]string) []Fact) ([]Fact, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var facts []Fact
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 0 {
			facts = append(facts, fact(f)...)
		}
	}
	return facts, nil
}
