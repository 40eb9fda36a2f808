package ops

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// SwapOff takes a line out of the machine's /proc/swaps.
func (p *Pretend) SwapOff(area string) error {
	return p.editLines("/proc/swaps", func(lines []string) ([]string, error) {
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, area+" ") || strings.HasPrefix(l, area+"\t") })
		if i < 0 {
			return nil, unix.EINVAL
		}
		return slices.Delete(lines, i, i+1), nil
	})
}

// SwapOn adds a line to it.
func (p *Pretend) SwapOn(area string, priority int) error {
	return p.editLines("/proc/swaps", func(lines []string) ([]string, error) {
		return append(lines, fmt.Sprintf("%s\tpartition\t1024\t0\t%d", area, priority)), nil
	})
}

// Unmount takes the last line with the mount point out of the machine's /proc/self/mountinfo.
func (p *Pretend) Unmount(at string) error {
	return p.editLines("/proc/self/mountinfo", func(lines []string) ([]string, error) {
		for i := len(lines) - 1; i >= 0; i-- {
			if f := strings.Fields(lines[i]); len(f) > 4 && unescapeMount(f[4]) == at {
				return slices.Delete(lines, i, i+1), nil
			}
		}
		return nil, unix.EINVAL
	})
}

// Unload unloads a module as modprobe -r does. In the machine's /proc/modules its line goes, and those that it used lose a user.
func (p *Pretend) Unload(module string) error {
	p.mu.Lock()
	modprobe := p.programs["modprobe"]
	p.mu.Unlock()
	if exists(p, "/sys/module/"+module) {
		if _, err := modprobe([]string{"modprobe", "-r", "--", module}); err != nil {
			return err
		}
	}
	if !exists(p, "/proc/modules") {
		return nil
	}
	return p.editLines("/proc/modules", func(lines []string) ([]string, error) {
		for i, l := range lines {
			f := strings.Fields(l) // name, size, references, users as "a,b,"
			if len(f) > 3 && slices.Contains(strings.Split(f[3], ","), module) {
				n, _ := strconv.Atoi(f[2])
				f[2], f[3] = strconv.Itoa(n-1), strings.Replace(f[3], module+",", "", 1)
				lines[i] = strings.Join(f, " ")
			}
		}
		return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, module+" ") }), nil
	})
}

func (p *Pretend) editLines(file string, edit func([]string) ([]string, error)) error {
	data, err := os.ReadFile(p.Path(file))
	if err != nil {
		return err
	}
	lines, err := edit(strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"))
	if err != nil {
		return err
	}
	return os.WriteFile(p.Path(file), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// Grow adds links, tables of nftables and ipvs services, as a cluster does that runs.
func (p *Pretend) Grow(links, tables []string, ipvs bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links, p.tables, p.ipvs = append(p.links, links...), append(p.tables, tables...), p.ipvs || ipvs
}

// Links lists the links that grew.
func (p *Pretend) Links() ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.links), nil
}

// Kinds takes a link for one of the kind that its name begins with: veth1 is a veth.
func (p *Pretend) Kinds() ([]string, error) {
	links, err := p.Links()
	return keepIf(linkKinds, func(kind string) bool {
		return slices.ContainsFunc(links, func(l string) bool { return strings.HasPrefix(l, kind) })
	}), err
}

// DeleteLink deletes a link.
func (p *Pretend) DeleteLink(name string) error { return p.drop(&p.links, name) }

// Lead adds routes, as flannel does where it has no overlay.
func (p *Pretend) Lead(routes ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes = append(p.routes, routes...)
}

// Routes lists the routes.
func (p *Pretend) Routes() ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.routes), nil
}

// DeleteRoute deletes a route.
func (p *Pretend) DeleteRoute(route string) error { return p.drop(&p.routes, route) }

// Tables lists the tables of nftables that grew.
func (p *Pretend) Tables() ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tables), nil
}

// DeleteTable deletes a table.
func (p *Pretend) DeleteTable(name string) error { return p.drop(&p.tables, name) }

// ruleset is what a test says that the table holds, and otherwise nothing.
func (p *Pretend) ruleset(table string) (ruleset, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rulesets[table], nil
}

// deleteChain takes a chain out of what a test says that the table holds.
func (p *Pretend) deleteChain(table, chain string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := p.rulesets[table]
	i := slices.IndexFunc(held.chains, func(c nftChain) bool { return c.name == chain })
	if i < 0 {
		return unix.ENOENT
	}
	if slices.ContainsFunc(held.rules, func(r nftRule) bool { return r.chain == chain }) {
		return unix.EBUSY
	}
	held.chains = slices.Delete(slices.Clone(held.chains), i, i+1)
	p.rulesets[table] = held
	return nil
}

// FlushIPVS removes all services.
func (p *Pretend) FlushIPVS() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ipvs = false
	return nil
}

func (p *Pretend) drop(list *[]string, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(*list, name)
	if i < 0 {
		return unix.ENOENT
	}
	*list = slices.Delete(*list, i, i+1)
	return nil
}

// Snapshot is everything about the machine but kubewright's own state directory, as text with one thing a line: files with mode, owner
// and digest, units that are enabled or active, links, tables with their chains and rules, firewall entries. Two machines that are the same have the same.
func (p *Pretend) Snapshot() (string, error) {
	var out []string
	err := filepath.WalkDir(p.root, func(real string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(real, p.root), "/")
		if name == StateDir {
			return fs.SkipDir
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		uid, gid := ownerOf(p, fi)
		line := fmt.Sprintf("%s %s %d:%d", name, fi.Mode(), uid, gid)
		switch {
		case fi.Mode().IsRegular():
			data, err := os.ReadFile(real)
			if err != nil {
				return err
			}
			line += " " + digestOf(data)
		case fi.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(real)
			if err != nil {
				return err
			}
			line += " -> " + target
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, u := range p.units {
		if u.Enabled || u.Active {
			out = append(out, fmt.Sprintf("unit %s enabled=%t active=%t inputs=%s", name, u.Enabled, u.Active, u.Inputs))
		}
	}
	for e := range p.firewall {
		out = append(out, fmt.Sprintf("firewall %+v", e))
	}
	for _, r := range p.routes {
		out = append(out, "route "+r)
	}
	for _, l := range p.links {
		out = append(out, "link "+l)
	}
	for _, t := range p.tables {
		out = append(out, "table "+t)
		for _, c := range p.rulesets[t].chains {
			out = append(out, "chain "+t+" "+c.name)
		}
		for i, r := range p.rulesets[t].rules {
			out = append(out, fmt.Sprintf("rule %s %s %03d %s", t, r.chain, i, r.comment))
		}
	}
	sort.Strings(out)
	return strings.Join(out, "\n") + "\n", nil
}
