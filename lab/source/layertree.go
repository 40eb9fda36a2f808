package source

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tree chooses a layer's files from the packages.
func (r debianLayer) tree(d debian) (tree, []string, error) {
	c := chosen{from: d, names: map[string]bool{}}
	for _, pattern := range r.Files {
		names, err := d.match(pattern)
		if err != nil {
			return nil, nil, err
		}
		for _, n := range names {
			if err := c.take(n); err != nil {
				return nil, nil, err
			}
		}
	}
	passwd, group := r.users()
	t := tree{
		"etc/passwd":        fileNode([]byte(passwd), 0o644),
		"etc/group":         fileNode([]byte(group), 0o644),
		"etc/nsswitch.conf": fileNode([]byte("hosts: files dns\n"), 0o644),
		"root":              {mode: 0o700, dir: true},
		"run":               {mode: 0o755, dir: true},
		"tmp":               {mode: 0o1777, dir: true},
		"var/tmp":           {mode: 0o1777, dir: true},
	}
	for _, top := range []string{"bin", "sbin", "lib", "lib64"} {
		t[top] = node{link: "usr/" + top}
		t["usr/"+top] = node{mode: 0o755, dir: true}
	}
	for name := range c.names {
		f := d.files[name]
		t[name] = node{mode: f.mode, link: f.link}
		if f.link == "" {
			t[name] = fileNode(f.data, f.mode)
		}
	}
	for name, target := range r.Links {
		t[name] = node{link: target}
	}
	packages := c.packages()
	if r.Certs {
		pkg, err := addCerts(t, d)
		if err != nil {
			return nil, nil, err
		}
		packages = append(packages, pkg)
	}
	for _, pkg := range packages {
		name, _, _ := strings.Cut(pkg, "=")
		copyright := "usr/share/doc/" + name + "/copyright"
		if f, ok := d.files[copyright]; ok && f.link == "" {
			t[copyright] = fileNode(f.data, 0o644)
		}
	}
	return t, packages, nil
}

// users renders /etc/passwd and /etc/group.
func (r debianLayer) users() (passwd, group string) {
	passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
	group = "root:x:0:\nnogroup:x:65534:\n"
	for _, name := range slices.Sorted(maps.Keys(r.Users)) {
		id := r.Users[name]
		passwd += fmt.Sprintf("%s:x:%d:%d:%s:/:/bin/false\n", name, id, id, name)
		group += fmt.Sprintf("%s:x:%d:\n", name, id)
	}
	return passwd, group
}

// addCerts adds the public certificate authorities as the one file that programs look for. It returns their package.
func addCerts(t tree, d debian) (string, error) {
	names, err := d.match("usr/share/ca-certificates/mozilla/*.crt")
	if err != nil {
		return "", err
	}
	var all bytes.Buffer
	for _, n := range names {
		all.Write(bytes.TrimSpace(d.files[n].data))
		all.WriteByte('\n')
	}
	t["etc/ssl/certs/ca-certificates.crt"] = fileNode(all.Bytes(), 0o644)
	return d.files[names[0]].pkg, nil
}
