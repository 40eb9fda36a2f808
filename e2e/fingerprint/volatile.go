package fingerprint

import (
	"path"
	"strings"
)

// What a host changes by itself while nobody works on it is not told. Every entry says why it is here.

// how much of a place is told.
type how int

const (
	whole how = iota
	names     // that something is there, its type, owner and mode; not its size and content
	never     // nothing at or below it
)

// place is a path, in which * stands for anything but a slash, and how much is told of it and of what is below it.
type place struct {
	path   string
	how    how
	reason string
}

// places: the longest one that matches counts.
var places = []place{
	{"/proc", never, "the kernel's; told by other kinds of facts"},
	{"/sys", never, "the kernel's; told by other kinds of facts"},
	{"/dev", never, "the kernel's and udev's"},
	{"/dev/shm", names, "memory that anybody may leave something in"},

	{"/var/log", names, "logs grow"},
	{"/var/log/journal", never, "journald begins and removes files as it needs room"},
	{"/var/cache", never, "a cache is made anew whenever it is needed"},
	{"/root/.cache", never, "a cache is made anew whenever it is needed"},
	{"/home/*/.cache", never, "a cache is made anew whenever it is needed"},
	{"/tmp", names, "belongs to whoever is at work"},
	{"/var/tmp", names, "belongs to whoever is at work"},
	{"/tmp/systemd-private-*", never, "one for each start of a unit with PrivateTmp, named by chance"},
	{"/var/tmp/systemd-private-*", never, "one for each start of a unit with PrivateTmp, named by chance"},

	{"/var/lib/systemd/timers", names, "the last time that each timer elapsed"},
	{"/var/lib/systemd/timesync", names, "the clock"},
	{"/var/lib/systemd/random-seed", names, "written at each boot"},
	{"/var/lib/systemd/coredump", never, "systemd keeps and removes them as logs"},
	{"/var/lib/chrony", names, "the clock's drift"},
	{"/var/lib/dhcp", names, "leases"},
	{"/var/lib/NetworkManager", names, "leases and timestamps"},
	{"/var/lib/logrotate", names, "when logs were rotated"},
	{"/var/lib/private", never, "state of units with DynamicUser, such as the clock's"},
	{"/lost+found", never, "the file system's"},

	{"/run", names, "state of what runs: files that come and go are told, their content is not"},
	{"/run/log", never, "journald's volatile journal"},
	{"/run/user", never, "of logins"},
	{"/run/sudo", never, "of logins"},
	{"/run/utmp", never, "of logins"},
	{"/run/mount", never, "mount(8)'s notes; told as mounts"},
	{"/run/lock", names, "locks"},
	{"/run/udev", never, "devices; told as links"},
	{"/run/host", never, "the container manager's"},
	{"/run/kwlab", never, "the lab's copy of the sysctls; told as sysctls"},
	{"/run/systemd/sessions", never, "of logins"},
	{"/run/systemd/users", never, "of logins"},
	{"/run/systemd/seats", never, "of logins"},
	{"/run/systemd/inhibit", never, "of logins"},
	{"/run/systemd/units", never, "one for each start of a unit; told as units"},
	{"/run/systemd/journal/streams", never, "one for each process that writes to the journal"},
	{"/run/systemd/transient", never, "of logins' scopes; told as units"},
	{"/run/systemd/netif", never, "networkd's leases"},
	{"/run/systemd/unit-root", never, "one for each start of a unit"},
	{"/run/systemd/incoming", never, "one for each start of a unit"},
	{"/run/systemd/propagate", never, "one for each start of a unit"},
	{"/run/systemd/timesync", never, "the clock"},
	{"/run/systemd/ask-password-block", never, "of logins"},
}

// told says how much is told of a path.
func told(p string) how {
	best, depth := whole, -1
	for _, pl := range places {
		if n := strings.Count(pl.path, "/"); n > depth && atOrBelow(pl.path, p) {
			best, depth = pl.how, n
		}
	}
	return best
}

func atOrBelow(pattern, p string) bool {
	depth := strings.Count(pattern, "/") + 1
	parts := strings.Split(p, "/")
	if len(parts) < depth {
		return false
	}
	ok, _ := path.Match(pattern, strings.Join(parts[:depth], "/"))
	return ok
}

// volatileSysctls are read-outs and not settings, or settings that the kernel makes up at each boot.
var volatileSysctls = []place{
	{"fs/*-nr", never, "how many there are now"},
	{"fs/*-state", never, "how many there are now"},
	{"fs/binfmt_misc", never, "a mount"},
	{"fs/quota", never, "how often something happened"},
	{"kernel/ns_last_pid", never, "the last process"},
	{"kernel/pty/nr", never, "logins"},
	{"kernel/random", never, "chance"},
	{"kernel/tainted", never, "what has happened so far"},
	{"kernel/perf_event_max_sample_rate", never, "the kernel lowers it under load"},
	{"net/netfilter/nf_conntrack_count", never, "connections"},
	{"net/ipv4/tcp_fastopen_key", never, "chance"},
	{"net/ipv6/conf/*/stable_secret", never, "chance"},
	{"net/ipv4/route/flush", never, "a button"},
	{"net/ipv6/route/flush", never, "a button"},
	{"vm/compact_memory", never, "a button"},
	{"vm/drop_caches", never, "a button"},
	{"vm/stat_refresh", never, "a button"},
}
