package ops

import (
	"runtime"
	"slices"
	"strings"
)

// rpm is a package as rpm's database, or a file, has it.
type rpm struct {
	name, arch, version string // with its epoch, unless that is 0
	at                  string // its number in the database, or its file
	provides            []string
}

// Files have no number, so what is asked of both comes first.
const (
	rpmFormat = `%{NAME}\t%{ARCH}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}`
	rpmTable  = rpmFormat + `\t%{DBINSTANCE}\t[%{PROVIDENAME} ]\n`
)

func readRPM(line string) (rpm, bool) {
	f := strings.Split(strings.TrimRight(line, "\n"), "\t")
	if len(f) < 3 {
		return rpm{}, false
	}
	r := rpm{name: f[0], arch: f[1], version: strings.TrimPrefix(f[2], "0:")}
	if len(f) == 5 {
		r.at, r.provides = f[3], strings.Fields(f[4])
	}
	return r, true
}

// beside says whether several versions of it may be installed beside each other, by dnf's own default. Keys are packages to rpm.
func (r rpm) beside() bool {
	return r.name == "gpg-pubkey" || slices.ContainsFunc(r.provides, func(p string) bool {
		return p == "kernel" || p == "kernel-PAE" || strings.HasPrefix(p, "installonlypkg(") || p == "multiversion(kernel)"
	})
}

// key is its name in a table, by which rpm and dnf know it as well.
func (r rpm) key() string {
	key := r.name
	if r.beside() {
		key += "-" + r.version[strings.Index(r.version, ":")+1:]
	}
	if r.foreign() {
		key += "." + r.arch
	}
	return key
}

// exact names it and no other package to rpm, also where there is one of its name for another architecture.
func (r rpm) exact() string {
	exact := r.name + "-" + r.version[strings.Index(r.version, ":")+1:]
	if r.arch != "(none)" {
		exact += "." + r.arch
	}
	return exact
}

func (r rpm) foreign() bool {
	return r.arch != "noarch" && r.arch != "(none)" && !slices.Contains(nativeRPM(), r.arch)
}

// compareNumbers compares decimal numbers without leading zeros.
func compareNumbers(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// rpmSpec is how dnf is asked for a version of a package.
func rpmSpec(name, version string) string {
	if version == "" {
		return name
	}
	base, arch := cutArch(name)
	if arch != "" {
		arch = "." + arch
	}
	return base + "-" + version + arch
}

// rpmArches are the architectures that a package's name may end with.
var rpmArches = []string{"i386", "i486", "i586", "i686", "x86_64", "x86_64_v2", "aarch64", "armv7hl", "ppc64le", "s390x"}

// nativeRPM are the architectures of this host's own packages.
func nativeRPM() []string {
	return map[string][]string{"amd64": {"x86_64", "x86_64_v2"}, "arm64": {"aarch64"}}[runtime.GOARCH]
}

func cutArch(name string) (base, arch string) {
	if i := strings.LastIndexByte(name, '.'); i > 0 && slices.Contains(rpmArches, name[i+1:]) {
		return name[:i], name[i+1:]
	}
	return name, ""
}
