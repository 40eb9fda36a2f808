package source

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/bundle"
)

// own is what is built from here: stand-ins for modules, programs that images need, and the shell of a page.
//
//go:embed _tencent iptables/main.go
//go:embed headlamp/main.go headlamp/handler.go headlamp/proxy.go _headlamp/*.* _headlamp/src
var embedded embed.FS

var own fs.FS = embedded

// compile builds every program that is not in the cache.
func (b *builder) compile(ctx context.Context) error {
	for _, r := range goBuilds {
		_, err := b.cached(b.programs(r), func(dir string) error { return b.goBuild(ctx, r, dir) })
		if err != nil {
			return err
		}
	}
	if _, err := b.cached(b.pauseDir(), func(dir string) error { return b.cBuild(ctx, pause, dir) }); err != nil {
		return err
	}
	_, err := b.cached(b.pageDir(), func(dir string) error { return b.buildPage(ctx, page, dir) })
	return err
}

// programs is where a build's programs are kept.
func (b *builder) programs(r goBuild) string {
	parts := []any{r, b.sources(r)}
	if r.Own != "" {
		parts = append(parts, ownGo)
	}
	for _, name := range ownFiles(r) {
		text, err := fs.ReadFile(own, name)
		if err != nil {
			panic(err) // a test builds every key
		}
		parts = append(parts, text)
	}
	return "programs-" + r.Name + "-" + b.key(parts...)
}

func (b *builder) pauseDir() string {
	return "programs-" + pause.Name + "-" + b.key(pause, b.want.Sources[pause.Source], b.pauseVersion())
}

func (b *builder) pauseVersion() string {
	v, err := b.want.Version(bundle.KindImage, pause.Image)
	if err != nil {
		panic(err) // a test builds every key
	}
	return v
}

func (b *builder) sources(r goBuild) []bundle.Source {
	var s []bundle.Source
	for _, name := range r.Sources {
		s = append(s, b.want.Sources[name])
	}
	return s
}

// ownFiles lists the embedded files that a build uses.
func ownFiles(r goBuild) []string {
	var dirs []string
	for _, s := range r.Stubs {
		dirs = append(dirs, s.Dir)
	}
	if r.Own != "" {
		dirs = append(dirs, r.Own)
	}
	return embeddedIn(dirs...)
}

// embeddedIn lists the embedded files in these folders.
func embeddedIn(dirs ...string) (files []string) {
	for _, d := range dirs {
		fs.WalkDir(own, d, func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				files = append(files, p)
			}
			return err
		})
	}
	return files
}

// goBuild writes a module that requires the sources and builds the packages in it.
func (b *builder) goBuild(ctx context.Context, r goBuild, out string) error {
	work, err := os.MkdirTemp(b.cache, modules)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	mod, err := b.goMod(ctx, r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "go.mod"), mod, 0o644); err != nil {
		return err
	}
	if err := writeOwn(work, r); err != nil {
		return err
	}
	expand := b.expander(r)
	argv := []string{"go", "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-tags", r.Tags,
		"-ldflags", ldflags(r, expand), "-o", out + "/"}
	programs := slices.Sorted(maps.Keys(r.Packages))
	for _, p := range programs {
		argv = append(argv, expand(r.Packages[p]))
	}
	if _, err := run(ctx, work, b.goEnv(r.Cgo), argv...); err != nil {
		return err
	}
	for _, p := range programs {
		if got := builtName(expand(r.Packages[p])); got != p {
			if err := os.Rename(filepath.Join(out, got), filepath.Join(out, p)); err != nil {
				return err
			}
		}
	}
	return nil
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// builtName is what `go build` calls the program of a package.
func builtName(pkg string) string {
	if majorVersion.MatchString(path.Base(pkg)) {
		pkg = path.Dir(pkg)
	}
	return path.Base(pkg)
}

func ldflags(r goBuild, expand func(string) string) string {
	flags := []string{"-s", "-w"}
	for _, s := range r.Stamp {
		flags = append(flags, "-X", expand(s))
	}
	if r.Cgo {
		flags = append(flags, "-linkmode", "external", "-extldflags", "'-static -Wl,--build-id=none'")
	}
	return strings.Join(flags, " ")
}

// expander puts the first source's module and version into a recipe's words.
func (b *builder) expander(r goBuild) func(string) string {
	module, version := moduleName(r), ""
	if len(r.Sources) > 0 {
		s := b.want.Sources[r.Sources[0]]
		module, version = s.Module, s.Version
	}
	parts := append(strings.Split(strings.TrimPrefix(version, "v"), "."), "", "")
	return strings.NewReplacer("{module}", module, "{version}", version, "{major}", parts[0], "{minor}", parts[1]).Replace
}

// writeOwn copies the embedded files that a build uses into its module.
func writeOwn(work string, r goBuild) error {
	for _, name := range ownFiles(r) {
		text, err := fs.ReadFile(own, name)
		if err != nil {
			return err
		}
		to := filepath.Join(work, strings.TrimPrefix(name, r.Own+"/"))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			return err
		}
	}
	for _, s := range r.Stubs {
		text := fmt.Sprintf("module %s\n\ngo %s\n", s.Module, oldestGo)
		if err := os.WriteFile(filepath.Join(work, s.Dir, "go.mod"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// cBuild compiles one C file into a static program.
func (b *builder) cBuild(ctx context.Context, r cBuild, out string) error {
	m, err := b.download(ctx, b.want.Sources[r.Source])
	if err != nil {
		return err
	}
	_, err = run(ctx, out, nil, "gcc", "-Os", "-Wall", "-Werror", "-static", "-s", "-Wl,--build-id=none",
		"-DVERSION=v"+b.pauseVersion(), "-o", filepath.Join(out, r.Name), filepath.Join(m.Dir, r.File))
	return err
}

// downloaded is what `go mod download -json` says.
type downloaded struct {
	Dir   string
	GoMod string
	Sum   string
	Error string
}

// download fetches a module and checks that its sum is the lock's. Go has checked it against the checksum database.
func (b *builder) download(ctx context.Context, s bundle.Source) (downloaded, error) {
	var m downloaded
	out, err := run(ctx, b.cache, b.goEnv(false), "go", "mod", "download", "-json", s.String())
	if err != nil {
		return m, err
	}
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&m); err != nil {
		return m, err
	}
	if m.Sum != s.Sum {
		return m, fmt.Errorf("module %s has the sum %s, the lock says %s", s, m.Sum, s.Sum)
	}
	return m, nil
}
