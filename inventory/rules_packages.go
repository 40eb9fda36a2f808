package inventory

import (
	"fmt"
	"regexp"
	"strings"
)

// As apt and dnf write them. What they could take for an option, a path or a pattern has no place in a name.
var (
	packageName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._-]*$`)
	packageVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+~:^_-]*\*?$`)
)

// packages is the rules about spec.packages.
func (k check) packages() {
	seen := map[string]int{}
	for i, p := range k.c.Spec.Packages {
		path := item("spec.packages", i)
		if k.bad(path) {
			continue
		}
		name, version := field(path, "name"), field(path, "version")
		switch {
		case k.missing(name):
			k.report(name, Problem{Code: codePackage, Wrong: "is missing", Remedy: "write the package's name, such as chrony"})
		case !k.wrote(name):
		case !packageName.MatchString(p.Name):
			problem := Problem{Code: codePackage, Found: show(p.Name), Expected: "the name of a package", Remedy: "write it as apt or dnf does, such as chrony"}
			if n, v, ok := strings.Cut(p.Name, "="); ok && packageName.MatchString(n) && packageVersion.MatchString(v) {
				problem.Remedy = fmt.Sprintf("write name: %s, and version: %q", n, v)
			}
			k.fail(name, problem)
		default:
			if first, twice := seen[p.Name]; twice {
				k.report(name, Problem{Code: codePackage, Found: show(p.Name), Wrong: fmt.Sprintf("is there twice, first on line %d", first), Remedy: "keep one"})
			} else {
				seen[p.Name] = k.place(name).line
			}
		}
		if k.wrote(version) && !packageVersion.MatchString(p.Version) {
			k.fail(version, Problem{Code: codePackage, Found: show(p.Version), Expected: "a version of a package", Remedy: "write all of it, or its beginning and a *, such as 20.10.*"})
		}
	}
}
