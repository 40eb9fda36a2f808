package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/bundle"
)

//go:embed ansible/site.yml
var playbook embed.FS

const registryCA = "/etc/kubewright/pki/registry-ca.crt"

// copied are the files that the playbook copies as kubewright made them.
var copied = []string{
	"/etc/cni/net.d/10-flannel.conflist",
	"/etc/containerd/config.toml",
	"/etc/containerd/certs.d/192.168.1.20:5000/hosts.toml",
	"/etc/systemd/system/containerd.service",
}

// directories are those that the phases make, with their modes.
var directories = [][2]string{
	{"/etc/kubewright", "0755"}, {"/etc/kubewright/pki", "0755"},
	{"/var/lib/containerd", "0700"}, {"/var/lib/cni", "0711"}, {"/run/containerd", "0711"}, {"/var/log/pods", "0750"}, {"/var/log/containers", "0755"},
	{"/run/flannel", "0755"}, {"/lib/modules", "0755"}, {"/opt/cni", "0755"}, {"/opt/cni/bin", "0755"}, {"/etc/cni/net.d", "0755"},
	{"/etc/containerd", "0755"}, {"/etc/containerd/certs.d/192.168.1.20:5000", "0755"},
}

// programs are where the bundle's programs go.
var programs = map[string][]string{
	"/usr/local/bin":  {"containerd", "containerd-shim-runc-v2", "ctr", "kubelet"},
	"/usr/local/sbin": {"runc"},
	"/opt/cni/bin":    {"bandwidth", "bridge", "firewall", "flannel", "host-local", "loopback", "portmap", "tuning"},
}

// harvest writes the playbook and what it copies.
func (b *lab) harvest(ctx context.Context) error {
	node := b.hosts[len(b.hosts)-1]
	dir := filepath.Join(b.ansible, "files")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	site, err := playbook.ReadFile("ansible/site.yml")
	if err != nil {
		return err
	}
	vars, files, err := b.vars()
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{"site.yml": site, "group_vars/all.json": vars, "hosts": b.groups(), "ansible.cfg": b.config()} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(b.ansible, path)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(b.ansible, path), content, 0o600); err != nil {
			return err
		}
	}
	for src, path := range files {
		content, err := b.read(ctx, node, path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, src), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (b *lab) vars() (vars []byte, files map[string]string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, nil, err
	}
	opened, err := bundle.Open(filepath.Join(cache, "kubewright", "bundle"))
	if err != nil {
		return nil, nil, err
	}
	type file map[string]string
	var progs, confs, dirs []file
	for dir, names := range programs {
		for _, name := range names {
			c, err := opened.Lock.File(name)
			if err != nil {
				return nil, nil, err
			}
			progs = append(progs, file{"url": "https://" + addressOf(0) + ":5000" + c.BlobPath(), "path": filepath.Join(dir, name), "checksum": c.Digest})
		}
	}
	slices.SortFunc(progs, func(a, b file) int { return strings.Compare(a["path"], b["path"]) })
	files = map[string]string{"sysctl.conf": "/etc/sysctl.d/99-kubewright.conf"}
	for _, path := range copied {
		files[filepath.Base(path)] = path
		confs = append(confs, file{"src": filepath.Base(path), "path": path})
	}
	for _, d := range directories {
		dirs = append(dirs, file{"path": d[0], "mode": d[1]})
	}
	var block []string
	for i, name := range b.hosts {
		block = append(block, addressOf(i)+" "+name)
	}
	vars, err = json.MarshalIndent(map[string]any{
		"programs": progs, "files": confs, "directories": dirs, "hosts_block": strings.Join(block, "\n"), "ansible_user": "root",
	}, "", "  ")
	return vars, files, err
}

func (b *lab) groups() []byte {
	var out strings.Builder
	for i, name := range b.hosts {
		fmt.Fprintf(&out, "%s ansible_host=%s\n", name, addressOf(i))
	}
	out.WriteString("[nodes]\n" + strings.Join(b.hosts[1:], "\n") + "\n")
	return []byte(out.String())
}

// config is Ansible at its fastest: every host at once, pipelining, connections that persist.
func (b *lab) config() []byte {
	return fmt.Appendf(nil, `[defaults]
inventory = hosts
forks = %d
interpreter_python = /usr/bin/python3
private_key_file = %s
[ssh_connection]
pipelining = True
control_path_dir = %s
ssh_args = -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=%s
`, len(b.hosts), filepath.Join(b.dir, "id_ed25519"), filepath.Join(b.ansible, "cp"), filepath.Join(b.dir, "known_hosts"))
}

// playbook runs the playbook on every host.
func (b *lab) playbook(ctx context.Context) (time.Duration, error) {
	if _, err := exec.LookPath("ansible-playbook"); err != nil {
		return 0, errors.New("there is no ansible-playbook; make bench-hosts installs it")
	}
	ca, err := b.read(ctx, b.hosts[0], registryCA)
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(b.ansible, "files", "registry-ca.crt"), ca, 0o600); err != nil {
		return 0, err
	}
	cmd := b.command(ctx, "exec", "--", "ansible-playbook", "site.yml")
	cmd.Dir = b.ansible
	cmd.Env = append(os.Environ(), "ANSIBLE_NOCOLOR=1", "LC_ALL=C.UTF-8")
	return timed(cmd)
}
