package lab

import (
	"context"
	"path/filepath"
)

// Restart is the power button held down and pressed again: everything that ran on the host is gone in an instant, with /run,
// links, rules and sysctls; what was written to its disk stays, and on a
// virtual machine only that: what its kernel had not written yet is lost. It returns when the host can be logged into again.
func Restart(ctx context.Context, host string) error {
	release, err := lock()
	if err != nil {
		return err
	}
	defer release()
	rec, err := readRecord()
	if err != nil {
		return err
	}
	h, err := rec.host(host)
	if err != nil {
		return err
	}
	net, err := subnetOf(rec.Cluster.Spec.Hosts)
	if err != nil {
		return err
	}
	key, err := keyAt(filepath.Join(rec.Dir, keyName), "kubewright lab")
	if err != nil {
		return err
	}
	if err := powerOff(ctx, host); err != nil {
		return err
	}
	return bring(ctx, rec.container(h), net, key)
}

// powerOff ends the host and forgets all of it but its disk.
func powerOff(ctx context.Context, host string) error {
	all, err := labCgroups()
	if err != nil {
		return err
	}
	name := cgroupOf(host)
	if err := killCgroup(ctx, name, all[name]); err != nil {
		return err
	}
	if err := removeCgroup(all[name]); err != nil {
		return err
	}
	return unplug(ctx, host)
}
