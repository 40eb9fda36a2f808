package ops

import "slices"

// What follows is the arithmetic of claims: lists as sets, field by field.

func (g *growth) lists() []*[]string {
	return []*[]string{&g.Links, &g.Tables, &g.Chains, &g.Sets, &g.Slices, &g.Mounts, &g.Rules, &g.Images, &g.Units, &g.Modules}
}

func (c Claim) covers(other Claim) bool { return other.without(c).empty() }

func (c Claim) empty() bool {
	return len(c.Links)+len(c.Tables)+len(c.Chains)+len(c.Slices)+len(c.Mounts)+len(c.Units)+len(c.Modules) == 0 && !c.Docker
}

func (c Claim) without(other Claim) Claim {
	return Claim{
		Links: minus(c.Links, other.Links), Tables: minus(c.Tables, other.Tables), Chains: minus(c.Chains, other.Chains),
		Slices: minus(c.Slices, other.Slices), Mounts: minus(c.Mounts, other.Mounts),
		Units: minus(c.Units, other.Units), Docker: c.Docker && !other.Docker, Modules: minus(c.Modules, other.Modules),
	}
}

func (c Claim) plus(other Claim) Claim {
	return Claim{
		Links: slices.Concat(c.Links, other.Links), Tables: slices.Concat(c.Tables, other.Tables), Chains: slices.Concat(c.Chains, other.Chains),
		Slices: slices.Concat(c.Slices, other.Slices), Mounts: slices.Concat(c.Mounts, other.Mounts),
		Units: slices.Concat(c.Units, other.Units), Docker: c.Docker || other.Docker, Modules: slices.Concat(c.Modules, other.Modules),
	}
}

func (g growth) plus(other growth) growth {
	for i, l := range g.lists() {
		*l = slices.Concat(*l, *other.lists()[i])
	}
	return g
}

func (g growth) minus(other growth) growth {
	for i, l := range g.lists() {
		*l = minus(*l, *other.lists()[i])
	}
	g.IPVS = g.IPVS && !other.IPVS
	return g
}

func minus(a, b []string) []string {
	return keepIf(a, func(s string) bool { return !slices.Contains(b, s) })
}

func keepIf(all []string, good func(string) bool) []string {
	var out []string
	for _, s := range all {
		if good(s) {
			out = append(out, s)
		}
	}
	return out
}
