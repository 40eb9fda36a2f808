package addons

import (
	"strings"
	"testing"
)

// The address of a Service that was never made is free again; one that another Service has is left to it, and told.
func TestAddressesThatAreTaken(t *testing.T) {
	const path = "/api/v1/namespaces/kube-system/services/kube-dns"
	wish := Object{Manifest: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "kube-dns", "namespace": "kube-system"},
		"spec": map[string]any{"clusterIP": "10.96.0.10"},
	}}
	for _, row := range []struct{ name, holder, want string }{
		{"by nobody", "", ""},
		{"by what was never made", "kube-dns", ""},
		{"by another", "other", "the address 10.96.0.10 is taken by the Service kube-system/other; "},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newServer(t)
			if row.holder != "" {
				s.objects[addresses+"10.96.0.10"] = map[string]any{
					"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": map[string]any{"name": "10.96.0.10", "uid": "x"},
					"spec": map[string]any{"parentRef": map[string]any{"resource": "services", "namespace": "kube-system", "name": row.holder}},
				}
			}
			_, err := apply(t, s.api(), wish)
			switch {
			case row.want == "" && (err != nil || s.has(path) == nil):
				t.Errorf("%v", err)
			case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || s.has(addresses+"10.96.0.10") == nil):
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}
