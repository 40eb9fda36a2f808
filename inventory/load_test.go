package inventory

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// The outer form of private keys, as far as Load looks at it.
const (
	privateKey = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ==\n-----END OPENSSH PRIVATE KEY-----\n"
	lockedKey  = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0\n-----END OPENSSH PRIVATE KEY-----\n"
)

// write puts a file into a directory, with the mode it is meant to have whatever the umask.
func write(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func minimal(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("testdata/good/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLoadKeyFiles(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	for _, c := range []struct {
		name, keyFile, text string
		mode                os.FileMode
		want                string // the end of the one problem, DIR being the inventory's directory; empty when there is none
	}{
		{"a private key", "id", privateKey, 0o600, ""},
		{"readable only", "id", privateKey, 0o400, ""},
		{"PEM of old", "id", "-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n", 0o600, ""},
		{"missing", "other", privateKey, 0o600, `"DIR/other" cannot be read: no such file or directory: name a private key, or leave keyFile out to use the SSH agent`},
		{"a directory", ".", privateKey, 0o600, `"DIR" cannot be read: it is a directory: name a private key, or leave keyFile out to use the SSH agent`},
		{"public", "id.pub", "ssh-ed25519 AAAAC3Nza me@here\n", 0o644, `"DIR/id.pub" is a public key: write DIR/id`},
		{"public, by another name", "id", "ecdsa-sha2-nistp256 AAAA\n", 0o600, `"DIR/id" is a public key: name the private key that belongs to it`},
		{"open to the group", "id", privateKey, 0o640, `"DIR/id" is open to others (mode 0640): run: chmod 600 DIR/id`},
		{"open to all", "id", privateKey, 0o644, `"DIR/id" is open to others (mode 0644): run: chmod 600 DIR/id`},
		{"PuTTY", "id.ppk", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", 0o600, `"DIR/id.ppk" is in PuTTY's format: convert it with: puttygen DIR/id.ppk -O private-openssh -o id_kubewright`},
		{"DSA", "id", "-----BEGIN DSA PRIVATE KEY-----\n", 0o600, `"DIR/id" is a DSA key, which OpenSSH no longer accepts: make another with: ssh-keygen -t ed25519`},
		{"empty", "id", "", 0o600, `"DIR/id" is empty: name a private key`},
		{"garbage after the head", "id", "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2!\n-----END OPENSSH PRIVATE KEY-----\n", 0o600, `"DIR/id" is not a private key, though it begins like one: name one that ssh-keygen made, whole and as it was made`},
		{"cut short", "id", privateKey[:len(privateKey)-9], 0o600, `"DIR/id" is not a private key, though it begins like one: name one that ssh-keygen made, whole and as it was made`},
		{"another format inside", "id", strings.Replace(privateKey, "b3Bl", "AAAA", 1), 0o600, `"DIR/id" is not a private key, though it begins like one: name one that ssh-keygen made, whole and as it was made`},
		{"locked", "id", lockedKey, 0o600, `"DIR/id" needs a passphrase, and there is no SSH agent that could hold it: start an agent, and give it the key with: ssh-add DIR/id`},
		{"locked, PEM of old", "id", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMAA=\n-----END RSA PRIVATE KEY-----\n", 0o600, `"DIR/id" needs a passphrase, and there is no SSH agent that could hold it: start an agent, and give it the key with: ssh-add DIR/id`},
		{"locked, PKCS 8", "id", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n", 0o600, `"DIR/id" needs a passphrase, and there is no SSH agent that could hold it: start an agent, and give it the key with: ssh-add DIR/id`},
		{"something else", "id", "hunter2\n", 0o600, `"DIR/id" is not a private key: name one that ssh-keygen made`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			name := c.keyFile
			if name == "other" || name == "." {
				name = "id"
			}
			write(t, dir, name, c.text, c.mode)
			// Written once and inherited by every host: it is one problem, where it is written.
			file := write(t, dir, "cluster.yaml", minimal(t)+"  ssh: {keyFile: "+c.keyFile+"}\n", 0o600)
			got, err := Load(file)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range got.Spec.Hosts {
					if h.SSH.KeyFile != filepath.Join(dir, c.keyFile) {
						t.Errorf("%s has the key file %q", h.Name, h.SSH.KeyFile)
					}
				}
				again(t, got)
				return
			}
			want := file + ":16:18: spec.ssh.keyFile: " + strings.ReplaceAll(c.want, "DIR", dir) + " [KW-INV-019]"
			if err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// Whether an agent has the key is found out when it is asked, not here.
func TestLoadLeavesALockedKeyToTheAgent(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	dir := t.TempDir()
	write(t, dir, "id", lockedKey, 0o600)
	if _, err := Load(write(t, dir, "cluster.yaml", minimal(t)+"  ssh: {keyFile: id}\n", 0o600)); err != nil {
		t.Error(err)
	}
}

// What is wrong with a key file comes together with everything else that is wrong.
func TestLoadTellsAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "id", privateKey, 0o644)
	text := strings.Replace(minimal(t), "roles: [worker]", "roles: [worker]\n      ssh: {keyFile: id, port: 0, colour: red}", 1)
	file := write(t, dir, "cluster.yaml", strings.Replace(text, "192.168.1.21", "192.168.1.300", 1), 0o600)
	_, err := Load(file)
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("got %v", err)
	}
	var codes []string
	for _, p := range ps {
		codes = append(codes, p.Code)
	}
	if want := []string{codeAddress, codeKeyFile, codePort, codeUnknown}; !reflect.DeepEqual(codes, want) {
		t.Errorf("got %v, want %v:\n%v", codes, want, err)
	}
}

func TestLoadPaths(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	write(t, home, "id", privateKey, 0o600)
	write(t, dir, "near", privateKey, 0o600)
	text := strings.Replace(minimal(t), "roles: [worker]", "roles: [worker]\n      ssh: {keyFile: near, knownHostsFile: /etc/known}", 1)
	file := write(t, dir, "cluster.yaml", text+"  ssh: {keyFile: ~/id, knownHostsFile: sub/../known}\n", 0o600)
	t.Chdir(filepath.Dir(dir))
	c, err := Load(filepath.Join(filepath.Base(dir), filepath.Base(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct{ host, key, known string }{
		{"master", filepath.Join(home, "id"), filepath.Join(dir, "known")},
		{"node-0001", filepath.Join(dir, "near"), "/etc/known"},
	} {
		h, _ := c.Host(w.host)
		if h.SSH.KeyFile != w.key || h.SSH.KnownHostsFile != w.known {
			t.Errorf("%s: %q and %q, want %q and %q", w.host, h.SSH.KeyFile, h.SSH.KnownHostsFile, w.key, w.known)
		}
	}
}

func TestLoadFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, file, want string }{
		{"missing", filepath.Join(dir, "none.yaml"), ": cannot be read: no such file or directory: write one with: kubewright init, or name another with --config [KW-INV-001]"},
		{"a directory", dir, ": cannot be read: it is a directory: name the cluster file itself [KW-INV-001]"},
		{"a pipe nobody writes to", pipe, ": cannot be read: it is not a regular file: name the cluster file itself [KW-INV-001]"},
		{"empty", write(t, dir, "empty.yaml", "", 0o600), ": the file is empty: write one with: kubewright init [KW-INV-001]"},
		{"too large", write(t, dir, "large.yaml", strings.Repeat("#\n", maxSize/2)+"#", 0o600), ": 1048577 bytes are more than the 1048576 that a cluster file may have: name the cluster file, not something else [KW-INV-001]"},
		{"a name that moves the cursor", filepath.Join(dir, "a\x1b[2Jb"), ": cannot be read: no such file or directory: write one with: kubewright init, or name another with --config [KW-INV-001]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(c.file)
			if want := escape(c.file) + c.want; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestExample(t *testing.T) {
	c, err := Parse("example.yaml", Example())
	if err != nil {
		t.Fatal(err)
	}
	if got := len(c.Nodes()); got != 3 {
		t.Errorf("%d nodes, want master, node-0001 and node-0002", got)
	}
	if c.Registry() != "192.168.1.100:5000" || c.Endpoint() != "192.168.1.21:6443" {
		t.Errorf("the registry is %s and the endpoint %s", c.Registry(), c.Endpoint())
	}
	// Whoever adds a field shows it in the example.
	for key := range homes {
		if !strings.Contains(string(Example()), key+":") {
			t.Errorf("the example does not show %s", key)
		}
	}
}

func TestQueries(t *testing.T) {
	c, err := Parse("example.yaml", Example())
	if err != nil {
		t.Fatal(err)
	}
	if hs := c.With(Worker); len(hs) != 2 || hs[0].Name != "node-0001" || hs[1].Name != "node-0002" {
		t.Errorf("workers are %v", hs)
	}
	if h, ok := c.Host("node-0002"); !ok || h.Address != netip.MustParseAddr("192.168.1.32") {
		t.Errorf("node-0002 is %v, %v", h, ok)
	}
	if h, ok := c.Host("node-0003"); ok {
		t.Errorf("there is no node-0003, but %v", h)
	}
	for _, s := range []struct {
		cidr string
		n    int
		want string
	}{
		{"10.96.0.0/12", 1, "10.96.0.1"},
		{"10.96.0.0/12", 10, "10.96.0.10"},
		{"10.96.0.0/12", 256, "10.96.1.0"},
		{"10.96.0.240/28", 15, "10.96.0.255"},
		{"10.96.0.240/28", 16, "invalid IP"},
		{"10.96.0.0/12", -1, "invalid IP"},
	} {
		c.Spec.Network.ServiceCIDR = netip.MustParsePrefix(s.cidr)
		if got := c.ServiceIP(s.n).String(); got != s.want {
			t.Errorf("address %d of %s is %s, want %s", s.n, s.cidr, got, s.want)
		}
	}
	if got := (&Cluster{}).Registry(); got != "" {
		t.Errorf("without a registry host the registry is %q", got)
	}
}

func TestDefaultTwiceIsDefaultOnce(t *testing.T) {
	for _, file := range specimens(t, "good") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		once, err := Parse(file, data)
		if err != nil {
			t.Fatal(err)
		}
		before := string(Render(once))
		Default(once)
		if after := string(Render(once)); after != before {
			t.Errorf("%s: after another Default:\n%s\nbefore:\n%s", file, after, before)
		}
	}
}
