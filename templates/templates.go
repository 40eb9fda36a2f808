// Package templates holds the few texts that no encoder writes: policies that are read as they stand, and the Corefile.
package templates

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"
)

//go:embed policy/*.yaml Corefile
var files embed.FS

// Policy is a file the API server reads.
type Policy struct {
	Name, Why string
	Content   []byte
}

// Policies are what the API server's flags name, in a fixed order.
func Policies() ([]Policy, error) {
	all := []Policy{
		{Name: "audit.yaml", Why: "who asked the API for what is recorded, without the contents of secrets"},
		{Name: "authentication.yaml", Why: "whoever is not known reaches the health endpoints only"},
		{Name: "admission.yaml", Why: "pods keep to the baseline standard, and nobody floods the API with events"},
		{Name: "event-rate-limit.yaml", Why: "nobody floods the API with events"},
		{Name: "pod-security.yaml", Why: "pods keep to the baseline standard outside the system's namespaces"},
	}
	for i := range all {
		content, err := files.ReadFile("policy/" + all[i].Name)
		if err != nil {
			return nil, err
		}
		all[i].Content = content
	}
	return all, nil
}

// Corefile is CoreDNS' configuration for a cluster domain; upstream says whether to forward what is not of the cluster to the
// host's name servers. Without any there, CoreDNS would exit with "no nameservers found".
func Corefile(domain string, upstream bool) (string, error) {
	raw, err := files.ReadFile("Corefile")
	if err != nil {
		return "", err
	}
	t, err := template.New("Corefile").Option("missingkey=error").Parse(string(raw))
	if err != nil {
		return "", fmt.Errorf("the Corefile template: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, map[string]any{"Domain": domain, "Upstream": upstream}); err != nil {
		return "", fmt.Errorf("the Corefile template: %w", err)
	}
	return out.String(), nil
}
