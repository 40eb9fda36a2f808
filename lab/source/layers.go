package source

// debianLayer is a layer of chosen files from Debian packages. Shared libraries come along by themselves, and so does
// each package's copyright file; documentation, locales and everything else stays behind.
type debianLayer struct {
	Packages []string
	Files    []string          // paths or path.Match patterns, as in a system whose /bin and /lib are links into /usr
	Programs map[string]string // path -> program of ours, as BUILD/PROGRAM
	Links    map[string]string // path -> target
	Users    map[string]int    // beside root and nobody, each with a group of the same name and number
	Certs    bool
}

// sharedLayers are fetched and unpacked once by a host, however many images have them.
var sharedLayers = map[string]debianLayer{
	"busybox": {
		Packages: []string{"busybox-static"},
		Files:    []string{"usr/bin/busybox"},
		Links: links("usr/bin/", "busybox", "awk", "basename", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "dirname", "du",
			"echo", "env", "expr", "false", "find", "free", "grep", "gunzip", "gzip", "head", "hostname", "httpd", "id", "kill",
			"killall", "ln", "ls", "md5sum", "mkdir", "mktemp", "mount", "mv", "nc", "nproc", "nslookup", "od", "ping", "printf", "ps",
			"pwd", "readlink", "realpath", "rm", "rmdir", "sed", "seq", "sh", "sha256sum", "sleep", "sort", "stat", "sync", "tail", "tar",
			"tee", "telnet", "test", "time", "timeout", "top", "touch", "tr", "true", "umount", "uname", "uniq", "usleep", "vi", "wc",
			"wget", "which", "whoami", "xargs", "yes"),
	},
	"nettools": {
		Packages: []string{"iptables", "nftables", "ipset", "conntrack", "kmod", "iproute2", "netbase", "ca-certificates"},
		Files: []string{
			"usr/sbin/xtables-nft-multi", "usr/sbin/xtables-legacy-multi", "usr/lib/*-linux-gnu/xtables/*.so",
			"usr/sbin/nft", "usr/sbin/ipset", "usr/sbin/conntrack", "usr/bin/kmod", "usr/bin/ip",
			"etc/protocols", "etc/services", "etc/ethertypes",
		},
		Programs: map[string]string{"usr/sbin/iptables-choose": "iptables-choose/iptables-choose"},
		Links: merge(
			links("usr/sbin/", "iptables-choose", "iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"),
			links("usr/sbin/", "xtables-nft-multi", "iptables-nft", "iptables-nft-save", "iptables-nft-restore", "ip6tables-nft",
				"ip6tables-nft-save", "ip6tables-nft-restore", "ebtables", "arptables"),
			links("usr/sbin/", "xtables-legacy-multi", "iptables-legacy", "iptables-legacy-save", "iptables-legacy-restore",
				"ip6tables-legacy", "ip6tables-legacy-save", "ip6tables-legacy-restore"),
			links("usr/sbin/", "../bin/kmod", "modprobe", "lsmod", "modinfo"),
		),
		Certs: true,
	},
	"alertmanager": {
		Packages: []string{"prometheus-alertmanager"},
		Files: []string{
			"usr/bin/prometheus-alertmanager", "etc/prometheus/alertmanager.yml",
			"usr/share/prometheus/alertmanager/*.tmpl", "usr/share/prometheus/alertmanager/no-ui/*",
		},
		Links: map[string]string{"usr/bin/alertmanager": "prometheus-alertmanager", "etc/alertmanager/alertmanager.yml": "../prometheus/alertmanager.yml"},
	},
	"web": {
		Packages: []string{"nginx", "php8.2-fpm"},
		Files: []string{
			"usr/sbin/nginx", "etc/nginx/mime.types", "etc/nginx/fastcgi_params", "etc/nginx/fastcgi.conf", "usr/share/nginx/html/index.html",
			"usr/sbin/php-fpm8.2",
			"usr/share/zoneinfo/UTC", "usr/share/zoneinfo/Etc/UTC", "usr/share/zoneinfo/*.tab", // without any, PHP has no dates
		},
		Links: map[string]string{"usr/sbin/php-fpm": "php-fpm8.2"},
		Users: map[string]int{"www-data": 33},
	},
}

func links(dir, target string, names ...string) map[string]string {
	m := map[string]string{}
	for _, n := range names {
		m[dir+n] = target
	}
	return m
}

func merge(ms ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range ms {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}
