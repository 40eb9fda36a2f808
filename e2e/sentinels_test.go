//go:build e2e

package e2e

import "testing"

// sentinels are what a host's owner has there before kubewright comes, in the very places that a cluster uses too. All of it must be there afterwards, as
// it was. It is put there by a shell, for brevity.
const sentinels = `set -eu
# Rules, chains and tables of somebody else's, where kube-proxy, flannel and the CNI plugins have theirs.
iptables -N MINE
iptables -A MINE -s 172.29.0.0/16 -m comment --comment "mine, not the cluster's" -j ACCEPT
iptables -A FORWARD -j MINE
iptables -t nat -A POSTROUTING -s 172.29.0.0/16 -o eth0 -j MASQUERADE
ip6tables -A FORWARD -s fd99::/64 -j ACCEPT
nft add table inet mine
nft add chain inet mine input '{ type filter hook input priority 10 ; policy accept ; }'
nft add set inet mine known '{ type ipv4_addr ; }'
nft add element inet mine known '{ 172.29.0.7 }'
nft add rule inet mine input ip saddr @known counter accept
ipset create mine hash:ip timeout 0
ipset add mine 172.29.0.8

# A network of their own.
ip link add br-mine type bridge
ip address add 172.29.0.1/24 dev br-mine
ip link set br-mine up
ip route add 172.26.0.0/16 via 192.168.1.1
ip rule add from 172.29.0.0/24 lookup 100
ip route add default via 192.168.1.1 table 100
ip netns add mine

# Settings, now and from the next start on.
printf 'net.ipv4.conf.all.log_martians = 1\n' > /etc/sysctl.d/50-mine.conf
printf 'net.ipv4.ip_forward = 0\n' >> /etc/sysctl.conf
printf 1 > /proc/sys/net/ipv4/conf/all/log_martians
printf 3 > /proc/sys/kernel/panic
printf 'dummy\n' > /etc/modules-load.d/mine.conf

# Files that a cluster's own would take the place of, with modes and times of their own.
mkdir -p /etc/docker /etc/containerd /etc/cni/net.d /opt/cni/bin /usr/local/bin
printf '{\n\t"log-level": "warn",\n\t"bip": "172.28.0.1/24"\n}\n' > /etc/docker/daemon.json
printf '# mine\nversion = 3\n\n[debug]\n  level = "warn"\n' > /etc/containerd/config.toml
printf '#!/bin/sh\necho mine\n' > /usr/local/bin/crictl
chmod 4751 /usr/local/bin/crictl
printf 'runtime-endpoint: unix:///run/mine.sock\n' > /etc/crictl.yaml
chown daemon:mail /etc/crictl.yaml
touch -d 2001-02-03T04:05:06.789 /etc/crictl.yaml /etc/containerd/config.toml
printf '#!/bin/sh\n' > /opt/cni/bin/mine
chmod 755 /opt/cni/bin/mine
chmod 750 /etc/cni/net.d
printf 'mine\n' > /etc/cni/mine
printf '172.29.0.9\tbefore.mine # mine\n' >> /etc/hosts
touch -d 2002-02-03 /etc/hosts
printf '17 3 * * * root true\n' > /etc/cron.d/mine 2>/dev/null || { mkdir /etc/cron.d; printf '17 3 * * * root true\n' > /etc/cron.d/mine; }
mkdir -p /srv/mine
printf 'of the host\n' > /srv/mine/file
useradd --system mine

# Units of their own: one that runs, one that is off, one that must never run.
for u in mine mine-off; do
	printf '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' > /etc/systemd/system/$u.service
done
systemctl --quiet mask mine-masked.service
systemctl daemon-reload
systemctl --quiet enable --now mine.service
`

// legacy are rules in the kernel's old tables. Whoever works with them leaves a lock file behind.
const legacySentinels = `set -eu
iptables-legacy -A FORWARD -s 172.27.0.0/16 -j ACCEPT
iptables-legacy -t nat -A POSTROUTING -s 172.27.0.0/16 -j MASQUERADE
printf 1 > /proc/sys/net/ipv4/ip_forward
`

const unplant = `
iptables -D FORWARD -j MINE; iptables -F MINE; iptables -X MINE
iptables -t nat -D POSTROUTING -s 172.29.0.0/16 -o eth0 -j MASQUERADE
ip6tables -D FORWARD -s fd99::/64 -j ACCEPT
for t in 'ip filter' 'ip nat' 'ip6 filter' 'inet mine'; do nft delete table $t; done
iptables-legacy -F; iptables-legacy -t nat -F
ipset destroy mine
ip rule del from 172.29.0.0/24 lookup 100; ip route flush table 100; ip route del 172.26.0.0/16; ip link del br-mine; ip netns del mine
systemctl --quiet disable --now mine.service; systemctl --quiet unmask mine-masked.service
rm -rf /etc/sysctl.d/50-mine.conf /etc/modules-load.d/mine.conf /etc/docker /etc/containerd /etc/cni /opt/cni /usr/local/bin/crictl /etc/crictl.yaml \
	/etc/cron.d/mine /srv/mine /etc/systemd/system/mine.service /etc/systemd/system/mine-off.service
sed -i /mine/d /etc/hosts; sed -i '/ip_forward = 0/d' /etc/sysctl.conf
userdel mine; systemctl daemon-reload
printf 0 > /proc/sys/net/ipv4/ip_forward; printf 0 > /proc/sys/net/ipv4/conf/all/log_martians
true
`

// plant puts the sentinels on every host, and takes them away when the test is over.
func plant(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		for _, h := range hosts {
			onHost(t, h, unplant)
		}
	})
	for _, h := range hosts {
		ok(t, onHost(t, h, sentinels))
	}
	ok(t, onHost(t, hosts[len(hosts)-1], legacySentinels))
}
