package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/inventory"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// withObjects is the API of a cluster with these objects. It makes tokens of the accounts among them, as long as asked for.
func withObjects(t *testing.T, objects []runtime.Object) kubernetes.Interface {
	t.Helper()
	have := map[string]any{}
	for _, o := range objects {
		m := addons.New(o)
		have[strings.ToLower(string(m.Key()))] = m.Manifest
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		parts := strings.Split(strings.Split(r.URL.Path, "/namespaces/")[1], "/") // headlamp, services, headlamp
		kinds := map[string]string{"ingresses": "ingress", "serviceaccounts": "serviceaccount", "services": "service"}
		o, ok := have["object:"+kinds[parts[1]]+"/"+parts[0]+"/"+parts[2]]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
			return
		}
		if len(parts) == 4 && parts[3] == "token" && r.Method == http.MethodPost {
			var req authenticationv1.TokenRequest
			if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
				t.Error(err)
			}
			req.Status.Token = "of " + parts[2] + " for " + (time.Duration(*req.Spec.ExpirationSeconds) * time.Second).String()
			w.WriteHeader(http.StatusCreated)
			json.NewEncoder(w).Encode(req)
			return
		}
		json.NewEncoder(w).Encode(o)
	}))
	t.Cleanup(s.Close)
	c, err := kubernetes.NewForConfig(&rest.Config{Host: s.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func dashboardObjects(t *testing.T, s addons.DashboardSettings) []runtime.Object {
	t.Helper()
	objects, err := addons.Dashboard(s)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestATokenIsShortAndOfTheAccountAskedFor(t *testing.T) {
	for name, row := range map[string]struct {
		objects []runtime.Object
		account string
		want    string
		refused string
	}{
		"to look":                   {dashboardObjects(t, addons.DashboardSettings{}), addons.DashboardViewer, "of headlamp-viewer for 1h0m0s", ""},
		"to do everything":          {dashboardObjects(t, addons.DashboardSettings{Admin: true}), addons.DashboardAdmin, "of headlamp-admin for 1h0m0s", ""},
		"to do everything, unasked": {dashboardObjects(t, addons.DashboardSettings{}), addons.DashboardAdmin, "", "spec.addons.dashboard.admin: true"},
		"without a dashboard":       {nil, addons.DashboardViewer, "", "the cluster has no dashboard"},
	} {
		got, err := dashboardToken(t.Context(), withObjects(t, row.objects), row.account, usualToken)
		if row.refused != "" {
			if err == nil || !strings.Contains(err.Error(), row.refused) || exitCode(err) != exitRefused {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if err != nil || got.Status.Token != row.want {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestHowLongATokenMayBe(t *testing.T) {
	for ttl, code := range map[time.Duration]int{
		0: exitUsage, 10*time.Minute - time.Second: exitUsage, 10 * time.Minute: 0, time.Hour: 0, 24 * time.Hour: 0, 24*time.Hour + time.Second: exitRefused, -time.Hour: exitUsage,
	} {
		if err := checkTTL(ttl); (err == nil) != (code == 0) || err != nil && exitCode(err) != code {
			t.Errorf("%s: %v", ttl, err)
		}
	}
}

func TestWhereTheDashboardIs(t *testing.T) {
	cluster := &inventory.Cluster{Spec: inventory.Spec{Hosts: []inventory.Host{
		{Name: "registry", Address: netip.MustParseAddr("10.0.0.9"), Roles: []inventory.Role{inventory.Registry}},
		{Name: "master", Address: netip.MustParseAddr("10.0.0.1"), Roles: []inventory.Role{inventory.ControlPlane}},
		{Name: "node", Address: netip.MustParseAddr("10.0.0.2"), Roles: []inventory.Role{inventory.Worker}},
	}}}
	ingress := &addons.DashboardIngress{Host: "dash.lab"}
	for want, s := range map[string]addons.DashboardSettings{
		"https://10.0.0.2:30000/": {NodePort: 30000, Secret: "cert"},
		"http://10.0.0.2:30001/":  {NodePort: 30001, Plain: true},
		"https://dash.lab/":       {Ingress: ingress, Secret: "cert"},
		"http://dash.lab/":        {Ingress: ingress, Plain: true},
		"http://localhost:4466/, while this runs: kubectl -n headlamp port-forward service/headlamp 4466:80":   {},
		"https://localhost:4466/, while this runs: kubectl -n headlamp port-forward service/headlamp 4466:443": {Secret: "cert"},
	} {
		url, how, err := dashboardURL(t.Context(), withObjects(t, dashboardObjects(t, s)), cluster)
		if err != nil || url+how != want {
			t.Errorf("got %s%s, %v; want %s", url, how, err, want)
		}
	}
	cluster.Spec.Addons.Ingress = inventory.Ingress{Expose: inventory.ExposeNodePort, HTTPPort: 30080, HTTPSPort: 30443}
	for want, s := range map[string]addons.DashboardSettings{"https://dash.lab:30443/": {Ingress: ingress, Secret: "cert"}, "http://dash.lab:30080/": {Ingress: ingress, Plain: true}} {
		if url, how, err := dashboardURL(t.Context(), withObjects(t, dashboardObjects(t, s)), cluster); err != nil || url+how != want {
			t.Errorf("behind an ingress on NodePorts: got %s%s, %v; want %s", url, how, err, want)
		}
	}
	if _, _, err := dashboardURL(t.Context(), withObjects(t, nil), cluster); !errors.Is(err, errNoDashboard) {
		t.Errorf("without one: %v", err)
	}
}
