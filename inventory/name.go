package inventory

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// nameWrong says why a text is not an RFC 1123 subdomain (lower-case labels with dots between), and what to write instead.
func nameWrong(s string, most int) (wrong, remedy string) {
	rule := "use a-z, 0-9, - and dots, and start and end with a letter or digit"
	if better := normalised(s); better != s && better != "" {
		if w, _ := nameWrong(better, most); w == "" {
			rule = "write " + better
		}
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "is an address, not a name", "write a name"
	}
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.':
		case c >= 'A' && c <= 'Z':
			return "has upper-case letters", rule
		case c > '~':
			return fmt.Sprintf("has a character that is not ASCII, %U", c), rule
		default:
			return fmt.Sprintf("has %q in it", c), rule
		}
	}
	if len(s) > most {
		return fmt.Sprintf("is %d characters long; %d is the most", len(s), most), "write a shorter one"
	}
	if strings.HasSuffix(s, ".") {
		return "ends with a dot", rule
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		switch {
		case l == "":
			return "has an empty part between dots", rule
		case len(l) > 63:
			return fmt.Sprintf("has a part of %d characters; 63 is the most", len(l)), "write a shorter one"
		case !label.MatchString(l):
			return "starts or ends a part with -", rule
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return "ends in a part of digits only, as addresses do", "begin that part with a letter"
	}
	return "", ""
}

// normalised is the nearest name to what was written.
func normalised(s string) string {
	s = strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(strings.TrimSpace(s)))
	return strings.Trim(s, ".-")
}

// siteWrong says why a text is neither an IP address nor a host name, which is what a certificate or a dialler takes.
func siteWrong(s string) (wrong, remedy string) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return "has a zone, which means something on one machine only", "write " + a.WithZone("").String()
		}
		return "", ""
	}
	if strings.Contains(s, "://") {
		return "is a URL", "write the host name in it"
	}
	if _, ipWrong, remedy := parseAddr(s); dotted.MatchString(s) || strings.Contains(s, "/") || strings.Contains(s, ":") {
		return ipWrong, remedy
	}
	return nameWrong(s, 253)
}
