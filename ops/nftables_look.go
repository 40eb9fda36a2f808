package ops

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// KernelChain is a chain of nftables, as its table has it.
type KernelChain struct {
	Table string `json:"table"` // "ip filter"
	Name  string `json:"name"`
	Hook  int    `json:"hook,omitempty"` // where the kernel calls it, from 1 (prerouting) to 5 (postrouting); 0: only jumped to
	Drop  bool   `json:"drop,omitempty"` // what comes to its end is dropped
}

// Forwarding is the hook of packets that pass through.
const Forwarding = 3

// ChainsOf are the chains of a machine's nftables. Asking a kernel whose nftables is a module that is not loaded would load it.
func KernelChainsOf(m Machine) ([]KernelChain, error) {
	if h, ok := find[interface{ KernelChains() ([]KernelChain, error) }](m); ok {
		return h.KernelChains()
	}
	return nil, errors.New("the nftables of this machine cannot be asked")
}

func (h *host) KernelChains() ([]KernelChain, error) {
	answers, err := nftDump(nftGetChain, 0)
	if err != nil {
		return nil, err
	}
	var out []KernelChain
	for _, a := range answers {
		if len(a) < 4 {
			continue
		}
		c := KernelChain{Table: nftFamilies[a[0]] + " " + nftString(a[4:], nftTableName), Name: nftString(a[4:], nftChainName)}
		if hook, ok := attribute(a[4:], nftChainHook); ok {
			if number, ok := attribute(hook, tryHookNumber); ok && len(number) == 4 {
				c.Hook = int(binary.BigEndian.Uint32(number)) + 1
			}
			policy, _ := attribute(a[4:], nftChainPolicy)
			c.Drop = len(policy) == 4 && binary.BigEndian.Uint32(policy) == 0
		}
		out = append(out, c)
	}
	return out, nil
}

const (
	tryHookNumber = 1
	tryPriority   = 2
	tryChainType  = 7
	nftNewTable   = nftables
	nftNewChain   = nftables | 3
	nftNewRule    = nftables | 6
	nftListItem   = 1
	nested        = 0x8000
)

// TryNFTables does with the kernel's nftables what kube-proxy will: a nat chain, and in it rules that masquerade, choose at random and ask the
// routing table. It does so in a network namespace that nobody else sees and that is gone when it returns. The error names the first thing that
// the kernel cannot do. Where that is in modules that are not loaded, the kernel loads them: whoever does not want that asks only where they are.
func TryNFTables() error {
	return Aside(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return errNoNamespace
		}
		return tryNFTables()
	})
}

// errNoNamespace says that nothing was tried.
var errNoNamespace = errors.New("a network namespace could not be made")

// Untried says that TryNFTables learned nothing.
func Untried(err error) bool { return errors.Is(err, errNoNamespace) }

func tryNFTables() error {
	be := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	named := func(kind uint16, name string) []byte { return newAttribute(kind, append([]byte(name), 0)) }
	const table, chain = "kubewright", "postrouting"
	ip := []byte{unix.AF_INET, 0, 0, 0}
	begin, end := message{kind: nftBatchBegin, body: []byte{0, 0, 0, 10}}, message{kind: nftBatchEnd, body: []byte{0, 0, 0, 10}}
	try := func(kind uint16, flags uint16, body []byte) error {
		_, err := netlink(unix.NETLINK_NETFILTER, begin, message{kind: kind, flags: unix.NLM_F_CREATE | unix.NLM_F_ACK | flags, body: join(ip, body)}, end)
		return err
	}
	if err := try(nftNewTable, 0, named(nftTableName, table)); err != nil {
		return fmt.Errorf("no tables: %w", err)
	}
	hook := join(newAttribute(tryHookNumber, be(4)), newAttribute(tryPriority, be(100)))
	if err := try(nftNewChain, 0, join(named(nftTableName, table), named(nftChainName, chain),
		newAttribute(nftChainHook|nested, hook), named(tryChainType, "nat"))); err != nil {
		return fmt.Errorf("no nat chains: %w", err)
	}
	for _, e := range []struct {
		name string
		data []byte
	}{
		{"masq", nil},
		{"numgen", join(newAttribute(1, be(1)), newAttribute(2, be(2)), newAttribute(3, be(1)))}, // register 1, modulus 2, random
		{"fib", join(newAttribute(1, be(1)), newAttribute(2, be(3)), newAttribute(3, be(2)))},    // register 1, the type of the destination
	} {
		expression := named(nftExprName, e.name)
		if e.data != nil {
			expression = join(expression, newAttribute(nftExprData|nested, e.data))
		}
		if err := try(nftNewRule, unix.NLM_F_APPEND, join(named(nftTableName, table), named(nftRuleChain, chain),
			newAttribute(nftRuleExprs|nested, newAttribute(nftListItem|nested, expression)))); err != nil {
			return fmt.Errorf("no rules with %s: %w", e.name, err)
		}
	}
	return nil
}

// Clustered says whether a chain is of the kind that a cluster's components make.
func (c KernelChain) Clustered() bool {
	for _, prefix := range []string{"KUBE-", "CNI-", "FLANNEL-", "FLANNEL", "cali-"} {
		if strings.HasPrefix(c.Name, prefix) {
			return true
		}
	}
	_, table, _ := strings.Cut(c.Table, " ")
	return table == "kube-proxy" || strings.HasPrefix(table, "flannel-ipv") || table == "cni_hostport"
}
