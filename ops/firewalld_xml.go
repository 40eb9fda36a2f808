package ops

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Alike says whether two texts of a zone mean the same, so that its owner's own hand can be put back where firewalld wrote the zone anew. What firewalld
// keeps of an earlier version is nobody's.
func (f Firewalld) Alike(file string, a, b []byte) bool {
	if strings.HasSuffix(file, oldZone) {
		return true
	}
	x, okX := elements(a)
	y, okY := elements(b)
	return okX && okY && slices.Equal(x, y)
}

// elements lists the elements of an XML text, each with its place, attributes and words, whatever their order and layout.
func elements(text []byte) (all []string, ok bool) {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	type node struct {
		name string
		attr []string
		text string
		in   []string
	}
	stack := []*node{{}}
	for {
		token, err := d.Token()
		if err == io.EOF {
			slices.Sort(stack[0].in)
			return stack[0].in, len(stack) == 1
		}
		if err != nil {
			return nil, false
		}
		top := stack[len(stack)-1]
		switch t := token.(type) {
		case xml.StartElement:
			n := &node{name: t.Name.Local}
			for _, a := range t.Attr {
				n.attr = append(n.attr, fmt.Sprintf("%s=%q", a.Name.Local, a.Value))
			}
			slices.Sort(n.attr)
			stack = append(stack, n)
		case xml.CharData:
			top.text += string(t)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
			slices.Sort(top.in)
			parent := stack[len(stack)-1]
			parent.in = append(parent.in, fmt.Sprintf("%s%q%q%q", top.name, top.attr, strings.Join(strings.Fields(top.text), " "), top.in))
		}
	}
}

// isIPTables says whether a table of nftables is one that the new iptables keeps its rules in.
func isIPTables(table string) bool {
	family, name, _ := strings.Cut(table, " ")
	return (family == "ip" || family == "ip6") && slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, name)
}

// readsAnything says whether there is anything in a file.
func readsAnything(m Machine, p string) bool {
	data, err := os.ReadFile(m.Path(p))
	return err == nil && len(bytes.TrimSpace(data)) > 0
}
