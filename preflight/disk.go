package preflight

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
)

// The kubelet's own thresholds where the inventory sets none (k8s.io/kubernetes/pkg/kubelet/apis/config/v1beta1).
var defaultEviction = map[string]string{"nodefs.available": "10%", "nodefs.inodesFree": "5%", "imagefs.available": "15%", "imagefs.inodesFree": "5%"}

const (
	minInodes   = 20000                  // what the node's own images and programs take, with room for pods
	imageGC     = 85                     // percent: the kubelet's imageGCHighThresholdPercent
	auditRoom   = 11 * 100 << 20         // of the API server's audit log, with its ten old ones
	warnFsync   = 10 * time.Millisecond  // etcd's own advice
	failFsync   = 100 * time.Millisecond // etcd's heartbeat: slower than this it loses its leader
	etcdData    = "/var/lib/etcd"
	kubeletRoot = "/var/lib/kubelet"
)

// runtimeRoot is where the host's runtime keeps images and containers.
func runtimeRoot(h inventory.Host) string {
	if h.Docker() {
		return "/var/lib/docker"
	}
	return "/var/lib/containerd"
}

// diskChecks are about room and what disks can do.
var diskChecks = []check{
	{"disk-space", Error, every, func(l *look) {
		if len(l.f.Disks) == 0 {
			l.skip("the host does not say which disks it has")
			return
		}
		var seen []string
		for _, v := range l.volumes() {
			d := v.disk
			free := d.Free
			seen = append(seen, fmt.Sprintf("%s has %s free of %s", v.name(), size(free), size(d.Size)))
			if d.Size == 0 {
				continue
			}
			limit, signal := l.line(v, "available", d.Size)
			if need := v.bytes + limit; free < need {
				text := fmt.Sprintf("%s for %s", size(v.bytes), list(v.what))
				switch {
				case v.bytes == 0:
					text = "for " + signal
				case limit > 0:
					text += fmt.Sprintf(" and %s that must stay free (%s)", size(limit), signal)
				}
				l.add(fmt.Sprintf("%s (%s) has %s free of %s", v.name(), dash(d.Type), size(free), size(d.Size)), size(need)+": "+text,
					"free "+size(need-free)+", or put a larger disk there")
			}
		}
		l.see("%s", strings.Join(seen, "; "))
	}},
	{"disk-inodes", Error, every, func(l *look) {
		if len(l.f.Disks) == 0 {
			l.skip("the host does not say which disks it has")
			return
		}
		var seen []string
		for _, v := range l.volumes() {
			d := v.disk
			if d.Inodes == 0 { // btrfs and others make them as they go
				continue
			}
			seen = append(seen, fmt.Sprintf("%s has %d inodes free", v.name(), d.IFree))
			limit, signal := l.line(v, "inodesFree", d.Inodes)
			need := limit
			if node(l.host) && !l.ours() && v.holds(runtimeRoot(l.host)) {
				need += minInodes
			}
			if d.IFree < need {
				l.add(fmt.Sprintf("%s (%s) has %d inodes free of %d: there may be space, but no more files can be made", v.name(), dash(d.Type), d.IFree, d.Inodes),
					strings.TrimSuffix(fmt.Sprintf("%d for images and pods (%s)", need, signal), " ()"), "remove small files that nobody needs, or make the file system with more inodes")
			}
		}
		l.see("%s", strings.Join(seen, "; "))
	}},
	{"image-collection", Warning, node, func(l *look) {
		d, ok := l.disk(runtimeRoot(l.host))
		if !ok || d.Size == 0 {
			l.skip("the host does not say how large its disk is")
			return
		}
		used := 100 - int(d.Free*100/d.Size)
		if l.see("%d%% of %s is used", used, runtimeRoot(l.host)); used >= imageGC {
			l.add(l.saw, fmt.Sprintf("less than %d%%: from there on the kubelet removes images", imageGC), "free space, or put a larger disk there")
		}
	}},
	{"audit-room", Warning, controls, func(l *look) {
		d, ok := l.disk("/var/log")
		if !ok || d.Size == 0 {
			l.skip("the host does not say how large its disk is")
			return
		}
		if l.see("/var/log has %s free", size(d.Free)); d.Free < auditRoom && !l.ours() {
			l.add(l.saw, size(auditRoom)+" for the API server's audit log", "free space, or put a larger disk there")
		}
	}},
	{"mount-options", Error, every, func(l *look) {
		l.see("nothing is mounted in a way that keeps us from writing or running")
		for _, d := range l.f.Disks {
			if !l.needed(d.Path) {
				continue
			}
			for flag := range strings.SplitSeq(d.Flags, ",") {
				switch {
				case flag == "ro":
					l.add(d.Path+" is mounted read-only", "a file system that can be written to", "remount it with the option rw")
				case flag == "immutable":
					l.add(d.Path+" is immutable (chattr +i)", "a directory in which files can be made", "run chattr -i "+d.Path)
				case flag == "noexec" && slices.Contains(programs, d.Path):
					l.add(d.Path+" is mounted noexec", "a file system that programs can be started from", "remount it without the option noexec")
				case flag == "noexec" && d.Path == kubeletRoot && node(l.host):
					l.as(Warning, d.Path+" is mounted noexec", "volumes that pods can start programs from", "remount it without the option noexec")
				}
			}
		}
	}},
	{"etcd-disk", Error, controls, func(l *look) {
		d, ok := l.disk(etcdData)
		if !ok {
			l.skip("the host does not say which disks it has")
			return
		}
		l.see("%s is on %s", etcdData, dash(d.Type))
		if why := map[string]string{
			"tmpfs": "is in memory and gone after a reboot", "nfs": "is on another machine, and its locks and syncs are not to be relied on",
			"overlay": "is an overlay, which copies a file when it is first written to", "fuse": "is in the hands of a program, and its syncs are not to be relied on",
		}[d.Type]; why != "" {
			l.add(etcdData+" is on "+d.Type+", which "+why, "a file system on a disk of this host: ext4 or xfs", "mount a disk at "+etcdData)
		}
	}},
	{"runtime-disk", Error, node, func(l *look) {
		d, ok := l.disk(runtimeRoot(l.host))
		if !ok {
			l.skip("the host does not say which disks it has")
			return
		}
		l.see("%s is on %s", d.Path, dash(d.Type))
		switch {
		case d.Type == "overlay" || d.Type == "nfs" || d.Type == "fuse":
			l.add(d.Path+" is on "+d.Type+", which cannot be below an overlay", "ext4, xfs or btrfs", "mount a disk at "+d.Path)
		case d.Untyped:
			l.add(d.Path+" is on a file system whose directories do not say what their entries are (xfs made with ftype=0)", "ftype=1, which overlayfs needs",
				"make the file system anew: mkfs.xfs -n ftype=1")
		}
	}},
	{"fsync", Warning, controls, func(l *look) {
		if l.survey == nil || l.survey.Fsync == nil {
			l.skip("it was not measured")
			return
		}
		s := l.survey.Fsync
		if s.Error != "" {
			l.skip("it could not be measured: " + s.Error)
			return
		}
		l.see("%d appends of 2 KiB took %s each, 99 of 100 at most %s, one %s", s.Count, short(s.P50), short(s.P99), short(s.Max))
		switch remedy := "give " + etcdData + " a faster disk, or one of its own"; {
		case s.P99 > failFsync:
			l.as(Error, l.saw, "99 of 100 within "+warnFsync.String()+", and never more than "+failFsync.String(), remedy)
		case s.P99 > warnFsync:
			l.add(l.saw, "99 of 100 within "+warnFsync.String(), remedy)
		}
	}},
}

// programs are the directories that programs are started from.
var programs = []string{"/usr/local/bin", "/usr/local/sbin", "/opt/cni/bin", "/var/lib/kubewright"}

// needed says whether anything is written at a path on this host.
func (l *look) needed(path string) bool {
	switch path {
	case "/etc", "/var/lib/kubewright", "/usr/local/bin", "/run":
		return true
	case "/etc/kubernetes", kubeletRoot, runtimeRoot(l.host), "/usr/local/sbin", "/opt/cni/bin", "/var/log":
		return node(l.host)
	case etcdData:
		return controls(l.host)
	case "/var/lib/registry":
		return registryHost(l.host)
	}
	return false
}

func (l *look) disk(path string) (agent.Disk, bool) {
	for _, d := range l.f.Disks {
		if d.Path == path {
			return d, true
		}
	}
	return agent.Disk{}, false
}

// volume is a file system, and what will be put on it.
type volume struct {
	disk  agent.Disk
	paths []string
	what  []string
	bytes uint64
}

func (v volume) name() string           { return list(v.paths) }
func (v volume) holds(path string) bool { return slices.Contains(v.paths, path) }
func (v *volume) take(what string, n uint64) {
	v.bytes += n
	v.what = append(v.what, what)
}

// volumes are the file systems that the host's roles fill. What is there already of our own is not counted again.
func (l *look) volumes() (out []*volume) {
	find := func(path string) *volume {
		d, ok := l.disk(path)
		if !ok {
			return nil
		}
		for _, v := range out {
			if v.disk.Device == d.Device {
				if !v.holds(path) {
					v.paths = append(v.paths, path)
				}
				return v
			}
		}
		v := &volume{disk: d, paths: []string{path}}
		out = append(out, v)
		return v
	}
	if node(l.host) {
		find(kubeletRoot)
		find(runtimeRoot(l.host))
	}
	for _, r := range l.Needs[l.host.Name].Room {
		if v := find(r.Path); v != nil && !l.ours() {
			v.take(r.What, r.Bytes)
		}
	}
	return out
}

// line is how much of a file system must stay free for the kubelet not to evict pods, and by which threshold. The thresholds of the inventory
// stand for all: the kubelet then has no others.
func (l *look) line(v *volume, what string, total uint64) (limit uint64, signal string) {
	if !node(l.host) {
		return 0, ""
	}
	thresholds := l.Cluster.Spec.Kubelet.EvictionHard
	if len(thresholds) == 0 {
		thresholds = defaultEviction
	}
	for _, s := range []struct{ name, path string }{{"nodefs." + what, kubeletRoot}, {"imagefs." + what, runtimeRoot(l.host)}} {
		if value, set := thresholds[s.name]; set && v.holds(s.path) {
			if n := threshold(value, total); n > limit {
				limit, signal = n, s.name+" "+value
			}
		}
	}
	return limit, signal
}

var units1024 = map[string]float64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "m": 1e-3,
	"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}

// threshold is an amount, or a share of a whole, as the kubelet reads it. The inventory has made sure that it can be read.
func threshold(value string, total uint64) uint64 {
	if share, ok := strings.CutSuffix(value, "%"); ok {
		f, _ := strconv.ParseFloat(share, 64)
		return uint64(float64(total) * f / 100)
	}
	end := strings.LastIndexAny(value, "0123456789") + 1
	f, _ := strconv.ParseFloat(value[:end], 64)
	return uint64(math.Min(f*units1024[value[end:]], math.MaxInt64))
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func short(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }
