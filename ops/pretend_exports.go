package ops

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ServeNFS gives the machine an NFS server, which is a unit: starting it exports what the files in /etc/exports.d say, stopping it nothing any more. What else
// starting or stopping it does is told by effect, which may be nil.
func (p *Pretend) ServeNFS(unit string, effect func(active bool)) {
	p.Handle("exportfs", func(argv []string) ([]byte, error) { return nil, p.exportfs(argv) })
	p.OnUnit(unit, func(active bool) {
		if effect != nil {
			effect(active)
		}
		var lines []string
		files, _ := filepath.Glob(p.Path("/etc/exports.d/*.exports")) // the pattern is well-formed
		for _, file := range files {
			if !active {
				break
			}
			text, _ := os.ReadFile(file)
			for line := range strings.Lines(string(text)) {
				f := strings.Fields(line)
				for _, client := range f[min(1, len(f)):] {
					lines = append(lines, f[0]+"\t"+client)
				}
			}
		}
		if err := p.export(lines); err != nil {
			panic(err) // a test cannot go on without its machine
		}
	})
}

// export writes the table of what is exported.
func (p *Pretend) export(lines []string) error {
	text := ""
	for _, line := range lines {
		text += strings.TrimSpace(line) + "\n"
	}
	return pretendWrite(p, exported, text)
}

// exportfs exports one directory to one client, with some options that go without saying, or does not any more.
func (p *Pretend) exportfs(argv []string) error {
	client, dir, ok := strings.Cut(argv[len(argv)-1], ":")
	if !ok || len(argv) < 3 {
		return fmt.Errorf("the pretend exportfs does not know %q", argv)
	}
	text, _ := os.ReadFile(p.Path(exported))
	lines := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
	rest := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(line, dir+"\t"+client+"(") })
	switch {
	case argv[1] == "-u" && len(rest) == len(lines):
		return fmt.Errorf("exportfs: Could not find '%s:%s' to unexport", client, dir)
	case argv[1] == "-o":
		rest = append(rest, fmt.Sprintf("%s\t%s(wdelay,%s)", dir, client, strings.TrimPrefix(argv[2], "wdelay,")))
	}
	slices.Sort(rest)
	return p.export(rest)
}
