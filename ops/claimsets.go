package ops

import (
	"maps"
	"slices"
)

// What follows is the arithmetic of claims: lists as sets, field by field.

func (g *growth) lists() []*[]string {
	return []*[]string{&g.Links, &g.Routes, &g.Tables, &g.Chains, &g.Sets, &g.Slices, &g.Mounts, &g.Rules, &g.Images, &g.Units, &g.Files, &g.Modules}
}

func (c *Claim) lists() []*[]string {
	return []*[]string{&c.Links, &c.Routes, &c.Tables, &c.Chains, &c.Slices, &c.Mounts, &c.Units, &c.Sysctls, &c.Files, &c.Modules}
}

func (c Claim) covers(other Claim) bool { return other.without(c).empty() }

func (c Claim) empty() bool {
	return !slices.ContainsFunc(c.lists(), func(l *[]string) bool { return len(*l) > 0 }) && !c.Docker
}

func (c Claim) without(other Claim) Claim {
	out := Claim{Docker: c.Docker && !other.Docker}
	for i, l := range out.lists() {
		*l = minus(*c.lists()[i], *other.lists()[i])
	}
	return out
}

func (c Claim) plus(other Claim) Claim {
	out := Claim{Docker: c.Docker || other.Docker}
	for i, l := range out.lists() {
		*l = slices.Concat(*c.lists()[i], *other.lists()[i])
	}
	return out
}

func (g growth) plus(other growth) growth {
	for i, l := range g.lists() {
		*l = slices.Concat(*l, *other.lists()[i])
	}
	values := maps.Clone(other.Values)
	if values == nil {
		values = map[string]string{}
	}
	maps.Copy(values, g.Values)
	g.Values = values
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
