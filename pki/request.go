// Package pki makes and judges certificate authorities, certificates and kubeconfigs as values. It touches no host and no clock: what
// time it is, is an argument.
package pki

// Request is what a certificate must say.
type Request struct {
	CommonName   string   `json:"commonName,omitempty"`
	Organization []string `json:"organization,omitempty"`
	DNSNames     []string `json:"dnsNames,omitempty"`
	IPs          []string `json:"ips,omitempty"`
	Usages       []Usage  `json:"usages,omitempty"`
	Days         int      `json:"days,omitempty"`
}

// Usage is what a certificate may be used for.
type Usage string

// The usages that kubewright's certificates have.
const (
	ClientAuth Usage = "client"
	ServerAuth Usage = "server"
)
