package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/inventory"
)

// HostStatus is a host of the lab as it is now.
type HostStatus struct {
	Name    string           `json:"name"`
	Address netip.Addr       `json:"address"`
	Roles   []inventory.Role `json:"roles"`
	VM      bool             `json:"vm,omitempty"` // it has a kernel of its own
	Running bool             `json:"running"`
	PID     int              `json:"pid,omitempty"` // its init's, or its kernel's, as the machine counts; 0 when not running
}

// List tells the hosts of the lab, in the inventory's order; ErrNoLab when there is none.
func List() ([]HostStatus, error) {
	rec, err := readRecord()
	if err != nil {
		return nil, err
	}
	all, err := labCgroups()
	if err != nil {
		return nil, err
	}
	var out []HostStatus
	for _, h := range rec.Cluster.Spec.Hosts {
		cgroups := all[cgroupOf(h.Name)]
		pid := 0
		if rec.isVM(h.Name) {
			pid = outermost(processes(cgroups), parentOf)
		} else {
			pid = initOf(cgroups)
		}
		out = append(out, HostStatus{h.Name, h.Address, h.Roles, rec.isVM(h.Name), pid != 0, pid})
	}
	return out, nil
}

// Root is the directory on this machine that is a container's / (without what is bound over it in /var/lib).
func Root(host string) string { return filepath.Join(stateDir, "hosts", host, "root") }

// initOf finds the first process of a container: 1 in its own process namespace, which is one below ours.
func initOf(cgroups []string) int {
	for _, pid := range processes(cgroups) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil && isInit(string(b)) {
			return pid
		}
	}
	return 0
}

func isInit(status string) bool {
	for line := range strings.Lines(status) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(ids)
			return len(f) == 2 && slices.Contains(f[1:], "1")
		}
	}
	return false
}
