package fingerprint

import (
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// logins are processes that are there because somebody, such as whoever takes the fingerprint, is logged in.
var logins = []string{"sshd", "sshd-session", "systemd", "(sd-pam)", "dbus-daemon", "sftp-server", "sudo"}

// processes tells the programs that run, and how many of each. Those of our own login are not told, nor the kernel's own.
func processes(context.Context, Options) ([]Fact, error) {
	own, asking := cgroupOf("self"), ancestors()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	n := map[string]int{}
	for _, dir := range dirs {
		pid := filepath.Base(dir)
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // it has ended
		}
		comm, kernel := parseStat(string(stat))
		cgroup := cgroupOf(pid)
		login := strings.Contains(cgroup, "/user.slice/")
		if kernel || asking[pid] || login && (cgroup == own || slices.Contains(logins, comm)) {
			continue
		}
		if comm == "sshd" || comm == "sshd-session" {
			continue // between the connection and the login it is in no session; the server itself is a unit
		}
		n[comm]++
	}
	var facts []Fact
	for name, count := range n {
		facts = append(facts, Fact{"process", name, strconv.Itoa(count)})
	}
	return facts, nil
}

// ancestors are this process and those that it was started by, up to the login. They are told by descent, for a login is in no session of its own where
// logind had no time for it.
func ancestors() map[string]bool {
	all := map[string]bool{}
	for pid := strconv.Itoa(os.Getpid()); ; {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		comm, _ := parseStat(string(stat))
		if err != nil || pid == "1" || strings.HasPrefix(comm, "sshd") {
			return all
		}
		all[pid] = true
		f := strings.Fields(string(stat)[strings.LastIndexByte(string(stat), ')')+1:])
		pid = f[1] // the parent
	}
}

// parseStat reads a process's name from /proc/PID/stat, and whether it is the kernel's own. The name is in parentheses and may hold any.
func parseStat(stat string) (comm string, kernel bool) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return "", false
	}
	const kernelThread = 0x00200000 // PF_KTHREAD
	if f := strings.Fields(stat[end+1:]); len(f) > 6 {
		flags, _ := strconv.ParseUint(f[6], 10, 64)
		kernel = flags&kernelThread != 0
	}
	return stat[open+1 : end], kernel
}

// cgroupOf is a process's place in systemd's tree.
func cgroupOf(pid string) string {
	b, _ := os.ReadFile("/proc/" + pid + "/cgroup")
	unified := ""
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && f[1] == "name=systemd" {
			return f[2]
		}
		if len(f) == 3 && f[1] == "" {
			unified = f[2]
		}
	}
	return unified
}

// cgroups tells the control groups of every hierarchy, but for those of logins.
func cgroups(context.Context, Options) ([]Fact, error) {
	var facts []Fact
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // it went while we looked
		}
		if strings.HasSuffix(path, "/user.slice") || strings.HasSuffix(path, "/init.scope") {
			return fs.SkipDir
		}
		facts = append(facts, Fact{"cgroup", strings.TrimPrefix(path, "/sys/fs/cgroup"), ""})
		return nil
	})
	return facts, err
}

// sockets tells what can be connected to.
func sockets(context.Context, Options) ([]Fact, error) {
	var facts []Fact
	for _, proto := range []string{"tcp", "tcp6", "udp", "udp6", "raw", "raw6"} {
		more, err := readLines("/proc/net/"+proto, func(f []string) []Fact { return socketFact(proto, f) })
		if err != nil {
			return facts, err
		}
		facts = append(facts, more...)
	}
	more, err := readLines("/proc/net/unix", unixFact)
	facts = append(facts, more...)
	slices.SortFunc(facts, func(a, b Fact) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(facts), err // of a socket that several processes serve, once
}

// socketFact reads a line of /proc/net/tcp and its like: SL LOCAL REMOTE STATE ... .
func socketFact(proto string, f []string) []Fact {
	const listening, unconnected = "0A", "07"
	if len(f) < 4 || strings.HasPrefix(proto, "tcp") && f[3] != listening || !strings.HasPrefix(proto, "tcp") && f[3] != unconnected {
		return nil
	}
	at, ok := parseAddr(f[1])
	if !ok {
		return nil
	}
	return []Fact{{"listen", proto, at}}
}

// parseAddr reads an address as the kernel writes it: each 32 bits of it in the host's byte order, which is little-endian here.
func parseAddr(s string) (string, bool) {
	host, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(raw)%4 != 0 {
		return "", false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	addr, ok := netip.AddrFromSlice(raw)
	return fmt.Sprintf("%s port %d", addr, n), ok
}

// unixFact reads a line of /proc/net/unix: NUM REFS PROTO FLAGS TYPE STATE INODE PATH.
func unixFact(f []string) []Fact {
	const accepting = "00010000"
	if len(f) < 8 || f[3] != accepting || told(f[7]) == never {
		return nil
	}
	if strings.HasPrefix(f[7], "@") && strings.Contains(f[7], "/bus/systemd") {
		return nil // systemd's own, named by chance
	}
	return []Fact{{"listen", "unix", f[7]}}
}
