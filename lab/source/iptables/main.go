// Command iptables-choose is what iptables is called by in our images. A kernel may keep its rules in two places, and
// whoever writes to the one that the kubelet and the host do not use is not heard. At its first call it finds out which
// one that is, and steps aside: the names lead straight to the chosen program from then on.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// The two programs. Each does what the name it is called by says.
const (
	dir    = "/usr/sbin"
	nft    = "xtables-nft-multi"
	legacy = "xtables-legacy-multi"
)

// names are what we are called by.
var names = []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"}

func main() {
	program := choose(output)
	settle(dir, program)
	argv := append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	err := syscall.Exec(filepath.Join(dir, program), argv, os.Environ())
	fmt.Fprintf(os.Stderr, "iptables-choose: %s: %v\n", program, err)
	os.Exit(1)
}

// choose returns the program to use. The kubelet leaves a chain of a known name in the place that the host uses. Without
// one, the place with more rules counts; nft wins a draw, unless the kernel cannot do address translation in it.
func choose(output func(program string, argv ...string) ([]byte, bool)) string {
	rules := map[string]int{}
	for _, program := range []string{nft, legacy} {
		for _, save := range []string{"iptables-save", "ip6tables-save"} {
			// Without -t, saving looks only at the tables that exist, and makes the kernel load none.
			all, _ := output(program, save)
			if bytes.Contains(all, []byte("\n:KUBE-IPTABLES-HINT ")) || bytes.Contains(all, []byte("\n:KUBE-KUBELET-CANARY ")) {
				return program
			}
			rules[program] += bytes.Count(all, []byte("\n-A "))
		}
	}
	if rules[legacy] > rules[nft] {
		return legacy
	}
	if _, ok := output(nft, "iptables", "-t", "nat", "-S"); !ok {
		if _, ok := output(legacy, "iptables", "-t", "nat", "-S"); ok {
			return legacy
		}
	}
	return nft
}

// output runs one of the programs under a name of its own.
func output(program string, argv ...string) ([]byte, bool) {
	cmd := exec.Cmd{Path: filepath.Join(dir, program), Args: argv}
	out, err := cmd.Output()
	return out, err == nil
}

// settle points the names at the chosen program. On a read-only root this fails, and the choice is made at every call.
func settle(dir, program string) {
	for _, name := range names {
		tmp := filepath.Join(dir, fmt.Sprintf(".%s.%d", name, os.Getpid()))
		if os.Symlink(program, tmp) != nil {
			return
		}
		if os.Rename(tmp, filepath.Join(dir, name)) != nil {
			os.Remove(tmp)
			return
		}
	}
}
