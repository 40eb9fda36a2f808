package inventory

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func (k check) domain() {
	const path = "spec.network.dnsDomain"
	if !k.wrote(path) {
		return
	}
	d := k.c.Spec.Network.DNSDomain
	wrong, remedy := nameWrong(d, 253)
	if wrong != "" {
		k.fail(path, Problem{Code: codeDNSDomain, Found: show(d), Wrong: wrong, Expected: "a DNS domain", Remedy: remedy})
	}
}

func (k check) endpointHost() string {
	host, _, err := net.SplitHostPort(k.c.Spec.APIServer.Endpoint)
	if err != nil {
		return ""
	}
	return host
}

// endpoint is host:port, without anything of a URL around it.
func (k check) endpoint() {
	if !k.wrote(endpointPath) {
		return
	}
	e := k.c.Spec.APIServer.Endpoint
	no := func(wrong, remedy string) {
		k.fail(endpointPath, Problem{Code: codeEndpoint, Found: show(e), Wrong: wrong, Expected: "host:port", Remedy: remedy})
	}
	if scheme, rest, ok := strings.Cut(e, "://"); ok {
		if i := strings.LastIndex(rest, "@"); i >= 0 {
			rest = rest[i+1:]
		}
		no("is a URL ("+bare(scheme)+"), not host:port", "write "+bare(strings.TrimRight(rest, "/")))
		return
	}
	host, port, err := net.SplitHostPort(e)
	if a, addrErr := netip.ParseAddr(strings.Trim(cmp.Or(host, e), "[]")); addrErr == nil && a.Is6() {
		k.fail(endpointPath, ipv6("an IPv4 address"))
		return
	}
	if err != nil {
		if wrong, _ := siteWrong(e); wrong == "" {
			no("has no port", "write "+e+":6443")
		} else {
			no("is not host:port", "write it as in 192.168.1.21:6443")
		}
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		no("has the port "+show(port), "write a port from 1 to 65535; 6443 is usual")
		return
	}
	if wrong, remedy := siteWrong(host); wrong != "" {
		no("names a host that "+wrong, remedy)
		return
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if class := classOf(a); class != "" {
			no("is at "+class, "name what every host can reach")
		}
	} else if host == "localhost" {
		no("is another host on every host", "name what every host can reach")
	}
}

// sans is the rules about further names in the API server's certificate.
func (k check) sans() {
	const path, most = "spec.apiServer.certSANs", 100
	sans := k.c.Spec.APIServer.CertSANs
	if len(sans) > most {
		k.report(path, Problem{Code: codeSAN, Found: fmt.Sprintf("%d names", len(sans)), Wrong: fmt.Sprintf("are too many for a certificate; %d is the most", most), Remedy: "keep those that clients use"})
	}
	seen := map[string]int{}
	for i, s := range sans {
		p := item(path, i)
		if !k.wrote(p) {
			continue
		}
		wrong, remedy := siteWrong(s)
		if strings.HasPrefix(s, "*") {
			wrong, remedy = "is a wildcard, which would make the API server's key good for other names", "list the names"
		}
		if wrong != "" {
			k.fail(p, Problem{Code: codeSAN, Found: show(s), Wrong: wrong, Expected: "a host name or IP address", Remedy: remedy})
			continue
		}
		if first, twice := seen[s]; twice {
			k.report(p, Problem{Code: codeSAN, Found: show(s), Wrong: fmt.Sprintf("is there twice, first on line %d", first), Remedy: "keep one"})
			continue
		}
		seen[s] = k.place(p).line
	}
}

func (k check) kubeProxy() {
	const mode, fallback = "spec.kubeProxy.mode", "spec.kubeProxy.fallback"
	kp := k.c.Spec.KubeProxy
	sure := k.oneOf(mode, kp.Mode, codeProxyMode, ModeNFTables, ModeIPTables, ModeIPVS)
	k.oneOf(fallback, kp.Fallback, codeProxyMode, ModeNFTables, ModeIPTables)
	if !sure || !k.wrote(fallback) {
		return
	}
	switch mode := cmp.Or(kp.Mode, ModeNFTables); {
	case mode == ModeIPTables:
		k.report(fallback, Problem{Code: codeProxyMode, Found: show(kp.Fallback), Wrong: "is for the modes ipvs and nftables", Remedy: "leave the line out: iptables is what the others fall back to"})
	case mode == kp.Fallback:
		k.report(fallback, Problem{Code: codeProxyMode, Found: show(kp.Fallback), Wrong: "is the mode itself", Remedy: "write iptables, or leave the line out"})
	}
}

var (
	// evictionSignals are the kubelet's, in v1.36.
	evictionSignals = []string{"memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree",
		"containerfs.available", "containerfs.inodesFree", "pid.available"}
	quantity = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|Ei|m|k|M|G|T|P|E|[eE][0-9]{1,2})?$`)
	percent  = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]+)?%$`)
)

func (k check) kubelet() {
	const most, thresholds = "spec.kubelet.maxPods", "spec.kubelet.evictionHard"
	if n := k.c.Spec.Kubelet.MaxPods; k.wrote(most) && (n < 1 || n > 65535) {
		k.fail(most, Problem{Code: codeMaxPods, Found: itoa(n), Expected: "a number of pods", Remedy: "write 1 or more; 110 is usual"})
	}
	for signal, value := range k.c.Spec.Kubelet.EvictionHard {
		p := entry(thresholds, signal)
		if !slices.Contains(evictionSignals, signal) {
			problem := Problem{Code: codeEviction, Wrong: "is not something the kubelet watches", Remedy: "use " + list(evictionSignals, "or")}
			if meant, ok := nearest(signal, evictionSignals); ok {
				problem.Remedy = "did you mean " + meant + "?"
			}
			k.fail(p, problem)
			continue
		}
		if wrong := thresholdWrong(value); wrong != "" && !k.bad(p) {
			k.fail(p, Problem{Code: codeEviction, Found: show(value), Wrong: wrong, Expected: "a threshold", Remedy: "write an amount such as 100Mi, or a share such as 5%"})
		}
	}
}

// thresholdWrong says why the kubelet would refuse a threshold: it is a share from 0% to 100%, or an amount above zero.
func thresholdWrong(s string) string {
	if percent.MatchString(s) {
		if f, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64); err != nil || f > 100 {
			return "is more than 100%"
		}
		return ""
	}
	m := quantity.FindStringSubmatch(s)
	if m == nil {
		return "is not an amount or a percentage"
	}
	if strings.Trim(strings.TrimSuffix(s, m[2]), "0.") == "" {
		return "is nothing; a threshold must be above zero"
	}
	return ""
}
