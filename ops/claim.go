package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Claim is what grows on a host by itself while a cluster runs on it, and that no other op makes. Claiming it writes down which of it was there
// before; giving it up removes what was not.
type Claim struct {
	Name   string   `json:"name,omitempty"`   // a host may have several; "" is "cluster"
	Links  []string `json:"links,omitempty"`  // network interfaces; "*" matches as in file names
	Routes []string `json:"routes,omitempty"` // ranges of addresses that routes lead to
	Tables []string `json:"tables,omitempty"` // of nftables, as "ip kube-proxy"
	Chains []string `json:"chains,omitempty"` // prefixes of iptables chains and of ip sets: "KUBE-"
	Slices []string `json:"slices,omitempty"` // whose processes end with the cluster
	Mounts []string `json:"mounts,omitempty"` // paths at or below which file systems get mounted; "*" matches as in file names
	Docker bool     `json:"docker,omitempty"` // the containers of pods and the images they need, in Docker's store
	// Units are whose work the rest is, and who read files of ours. Where one of them ran before, the rest is left to it, and it is started anew once the
	// files are as they were.
	Units []string `json:"units,omitempty"`
	// Modules are those that the kernel loads by itself when a link, a rule or a set asks for them; "*" matches as in file names.
	Modules []string `json:"modules,omitempty"`
	// Sysctls are parameters of the kernel that get set, and get the values back that they had.
	Sysctls []string `json:"sysctls,omitempty"`
	// Files are lock files and sockets that get made, and directories for them, which go if they are empty.
	Files []string `json:"files,omitempty"`
	Held  bool     `json:"held,omitempty"`
}

// claimed is the record of a claim: what was claimed, and what of it (and of what goes with it) was there before.
type claimed struct {
	Claim  Claim     `json:"claim"`
	Before growth    `json:"before"`
	All    []string  `json:"allTables,omitempty"`  // every table of nftables that was there
	At     time.Time `json:"at,omitzero"`          // when it was first claimed
	Known  []string  `json:"known,omitempty"`      // those of its units that there were
	Base   []string  `json:"baseChains,omitempty"` // every chain in the tables of iptables that the kernel calls itself
}

// growth is what there is at one time of what may be claimed.
type growth struct {
	Links  []string `json:"links,omitempty"`
	Routes []string `json:"routes,omitempty"` // "10.244.1.0/24 via 192.168.1.32"
	Tables []string `json:"tables,omitempty"`
	Chains []string `json:"chains,omitempty"` // "iptables-nft nat KUBE-SERVICES"
	Rules  []string `json:"rules,omitempty"`  // of iptables about the links, in chains of others
	Sets   []string `json:"sets,omitempty"`
	Slices []string `json:"slices,omitempty"`
	Mounts []string `json:"mounts,omitempty"`
	Images []string `json:"images,omitempty"` // by ID
	Units  []string `json:"units,omitempty"`
	Files  []string `json:"files,omitempty"`
	IPVS   bool     `json:"ipvs,omitempty"`

	Modules []string          `json:"modules,omitempty"`
	Values  map[string]string `json:"values,omitempty"` // of parameters of the kernel
}

func (c Claim) Key() Key { return Key("claim:" + c.name()) }

func (c Claim) name() string {
	if c.Name == "" {
		return "cluster"
	}
	return c.Name
}

func (c Claim) Observe(_ context.Context, m Machine) (Op, error) {
	rec, err := c.read(m)
	if err != nil {
		return nil, err
	}
	c.Held = rec != nil && rec.Claim.covers(c)
	return c, nil
}

func (c Claim) Set(ctx context.Context, m Machine, _ Op) error {
	rec, err := c.read(m)
	if err != nil {
		return err
	}
	if c.Held {
		return c.claim(ctx, m, rec)
	}
	if rec == nil {
		return nil
	}
	if err := rec.giveUp(ctx, m); err != nil {
		return err
	}
	return remove(m, c.file(m))
}

// claim adds to a record that is there already: what it says was there before stays true.
func (c Claim) claim(ctx context.Context, m Machine, rec *claimed) error {
	more := c
	if rec == nil {
		rec = &claimed{At: m.Now()}
	} else {
		more = c.without(rec.Claim)
	}
	if len(rec.Claim.Chains) == 0 && len(more.Chains) > 0 {
		tables, err := tablesOf(m)
		if err != nil {
			return err
		}
		rec.All = tables
		if rec.Base, err = baseChains(m, false); err != nil {
			return err
		}
	}
	now, err := more.look(ctx, m)
	if err != nil {
		return err
	}
	if rec.Claim.empty() {
		rec.Before.IPVS = now.IPVS
	}
	for _, name := range more.Units {
		state, err := m.Units().State(ctx, name)
		if err != nil {
			return err
		}
		if state.Exists {
			rec.Known = append(rec.Known, name)
		}
	}
	rec.Claim = rec.Claim.plus(more)
	rec.Before = rec.Before.plus(now)
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return writeMark(m, c.file(m), append(data, '\n'))
}

// look finds what there is of what c names.
func (c Claim) look(ctx context.Context, m Machine) (g growth, err error) {
	// First, since asking for nftables loads modules; and no question that is not needed, for the same reason.
	if g.Modules, err = modulesOf(m, c.Modules); err != nil {
		return g, err
	}
	network, err := networkOf(m)
	if err != nil {
		return g, err
	}
	links, err := network.Links()
	if err != nil {
		return g, fmt.Errorf("list links: %w", err)
	}
	g.Links = keepIf(links, func(l string) bool {
		return slices.ContainsFunc(c.Links, func(pattern string) bool { ok, _ := path.Match(pattern, l); return ok })
	})
	if len(c.Routes) > 0 {
		routes, err := network.Routes()
		if err != nil {
			return g, fmt.Errorf("list routes: %w", err)
		}
		g.Routes = keepIf(routes, func(r string) bool { return within(c.Routes, r) })
	}
	var tables []string
	if len(c.Tables) > 0 {
		if tables, err = tablesOf(m); err != nil {
			return g, err
		}
	}
	g.Tables = keepIf(tables, func(t string) bool { return slices.Contains(c.Tables, t) })
	mounts, err := mountsOf(m)
	if err != nil {
		return g, err
	}
	g.Mounts = keepIf(mounts, func(at string) bool {
		return slices.ContainsFunc(c.Mounts, func(p string) bool { return atOrBelow(p, at) })
	})
	if g.Slices, err = activeOf(ctx, m, c.Slices); err != nil {
		return g, err
	}
	if g.Units, err = activeOf(ctx, m, c.Units); err != nil {
		return g, err
	}
	if c.Docker {
		if g.Images, err = engineOf(m).images(ctx); err != nil && !engineAway(err) {
			return g, err
		}
	}
	if g.Files, err = filesOf(m, c.Files); err != nil {
		return g, err
	}
	if g.Values, err = valuesOf(ctx, m, c.Sysctls); err != nil {
		return g, err
	}
	if len(c.Chains) > 0 {
		if g.Chains, g.Rules, err = chainsOf(ctx, m, c.Chains, c.Links); err != nil {
			return g, err
		}
		if g.Sets, err = setsOf(ctx, m, c.Chains); err != nil {
			return g, err
		}
		g.IPVS = ipvsInUse(m)
	}
	return g, nil
}

// activeOf are those of the units that run.
func activeOf(ctx context.Context, m Machine, names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		state, err := m.Units().State(ctx, name)
		if err != nil {
			return nil, err
		}
		if state.Active {
			out = append(out, name)
		}
	}
	return out, nil
}

// atOrBelow says whether a path is one that the pattern matches, or below one.
func atOrBelow(pattern, at string) bool {
	parts, depth := strings.Split(at, "/"), strings.Count(strings.TrimSuffix(pattern, "/"), "/")+1
	if len(parts) < depth {
		return false
	}
	ok, _ := path.Match(strings.TrimSuffix(pattern, "/"), strings.Join(parts[:depth], "/"))
	return ok
}

// giveUp removes what is there now and was not before: processes first, since they would make the rest anew.
func (rec *claimed) giveUp(ctx context.Context, m Machine) error {
	if len(rec.Before.Units) > 0 {
		return rec.startAnew(ctx, m)
	}
	network, err := networkOf(m)
	if err != nil {
		return err
	}
	now, err := rec.Claim.look(ctx, m)
	if err != nil {
		return err
	}
	grown := now.minus(rec.Before)
	for _, s := range grown.Slices {
		if err := changing(m, "stop "+s); err != nil {
			return err
		}
		if err := m.Units().Stop(ctx, s, true); err != nil {
			return err
		}
	}
	if rec.Claim.Docker {
		if err := clearDocker(ctx, m, rec.Before.Images); err != nil {
			return err
		}
	}
	for _, s := range minus(rec.Claim.Slices, rec.Before.Slices) { // also of those that had ended already
		if err := removeCgroups(ctx, m, s); err != nil {
			return err
		}
	}
	if err := unmountAll(m, grown.Mounts); err != nil {
		return err
	}
	for _, l := range grown.Links {
		if err := changing(m, "delete link "+l); err != nil {
			return err
		}
		if err := network.DeleteLink(l); err != nil && !missing(err) {
			return fmt.Errorf("delete link %s: %w", l, err)
		}
	}
	for _, r := range grown.Routes { // those of a link have gone with it
		if err := changing(m, "delete route "+r); err != nil {
			return err
		}
		if err := network.DeleteRoute(r); err != nil && !missing(err) && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("delete route %s: %w", r, err)
		}
	}
	if grown.IPVS {
		if err := changing(m, "flush ipvs"); err != nil {
			return err
		}
		if err := network.FlushIPVS(); err != nil {
			return fmt.Errorf("flush ipvs: %w", err)
		}
	}
	if err := removeChains(ctx, m, grown.Chains, grown.Rules); err != nil {
		return err
	}
	for _, set := range grown.Sets {
		if err := run(ctx, m, "ipset", "destroy", set); err != nil {
			return err
		}
	}
	if err := rec.deleteTables(m, network, grown.Tables); err != nil {
		return err
	}
	if len(rec.Claim.Chains) > 0 {
		if err := deleteBaseChains(m, rec.Base); err != nil {
			return err
		}
	}
	if err := removeFiles(m, grown.Files); err != nil {
		return err
	}
	if err := setBack(ctx, m, rec.Claim.Sysctls, rec.Before.Values); err != nil {
		return err
	}
	return unloadModules(m, grown.Modules)
}

// startAnew starts what ran before, where it does not run or has been started since, and so has read what we wrote.
func (rec *claimed) startAnew(ctx context.Context, m Machine) error {
	for _, name := range rec.Before.Units {
		state, err := m.Units().State(ctx, name)
		if err != nil {
			return err
		}
		if !state.Exists || state.Active && state.Since.Before(rec.At) {
			continue
		}
		if err := changing(m, "restart "+name); err != nil {
			return err
		}
		if err := restart(ctx, m, name); err != nil {
			return err
		}
	}
	return nil
}

// deleteTables deletes the tables named, and those of iptables that nobody had before and nobody else has anything in now.
func (rec *claimed) deleteTables(m Machine, network Network, tables []string) error {
	if len(rec.Claim.Chains) > 0 {
		idle, err := idleTables(m, rec.All, rec.Claim.Chains)
		if err != nil {
			return err
		}
		tables = slices.Concat(tables, idle)
	}
	slices.Sort(tables)
	for _, t := range slices.Compact(tables) {
		if err := changing(m, "delete table "+t); err != nil {
			return err
		}
		if err := network.DeleteTable(t); err != nil && !missing(err) {
			return fmt.Errorf("delete table %s: %w", t, err)
		}
	}
	return nil
}

// unmountAll detaches mounts, what was mounted last first, and removes the empty files that network namespaces were mounted on.
func unmountAll(m Machine, mounts []string) error {
	kernel, err := kernelOf(m)
	if err != nil {
		return err
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := changing(m, "unmount "+mounts[i]); err != nil {
			return err
		}
		if err := kernel.Unmount(mounts[i]); err != nil && !gone(err) {
			return fmt.Errorf("unmount %s: %w", mounts[i], err)
		}
		fi, err := os.Lstat(m.Path(mounts[i]))
		if err == nil && fi.Mode().IsRegular() && fi.Size() == 0 {
			if err := remove(m, mounts[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func tablesOf(m Machine) ([]string, error) {
	network, err := networkOf(m)
	if err != nil {
		return nil, err
	}
	tables, err := network.Tables()
	if err != nil {
		return nil, fmt.Errorf("list tables of nftables: %w", err)
	}
	return tables, nil
}

// file is where the record of the claim lies.
func (c Claim) file(m Machine) string {
	return stateDir(m) + "/claim-" + url.PathEscape(c.name()) + ".json"
}

func (c Claim) read(m Machine) (*claimed, error) {
	data, err := readSmall(m, c.file(m), false)
	if err != nil || data == nil {
		return nil, err
	}
	var rec claimed
	if err := strict(data, &rec); err != nil {
		return nil, fmt.Errorf("%s: %w", c.file(m), err)
	}
	return &rec, nil
}
