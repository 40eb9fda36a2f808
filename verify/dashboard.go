package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const dashboardName = "headlamp"

var dashboard = Check{
	Name: "dashboard", Short: "the dashboard answers, lets a token see what its role allows, and nobody without one", Needs: []Need{Dashboard},
	Remedy: "kubectl get pods -A -l app.kubernetes.io/name=" + dashboardName + ", and their logs",
	Run: func(ctx context.Context, e *Env) error {
		found, err := e.find(ctx, dashboardName, "")
		if err != nil {
			return err
		}
		p := view{scheme: "http", host: found.service.Name + "." + found.service.Namespace + ".svc"}
		if p.by, err = e.dialPart(found); err != nil {
			return err
		}
		if found.port.Name == "https" {
			p.scheme, p.tls = "https", &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
			p.tls.RootCAs.AppendCertsFromPEM(e.Config.CAData) // which has signed for it
		}
		first, err := e.fetch(ctx, p.at("/", ""))
		if err != nil {
			return err
		}
		if !strings.Contains(strings.ToLower(first), "<html") {
			return errors.New("its first page is no page")
		}
		raw, err := e.fetch(ctx, p.at("/config", ""))
		if err != nil {
			return err
		}
		var config struct{ Clusters []struct{ Name string } }
		if err := json.Unmarshal([]byte(raw), &config); err != nil || len(config.Clusters) == 0 {
			return fmt.Errorf("its configuration names no cluster (%v)", err)
		}
		e.Saw("its first page and its configuration, with the cluster %s, were served by %s", config.Clusters[0].Name, p.scheme)
		if err := e.dashboardDoors(ctx, found, p); err != nil {
			return err
		}
		return e.dashboardLogin(ctx, p, "/clusters/"+config.Clusters[0].Name+"/api/v1/namespaces")
	},
}

// view is how a part's pages are asked for.
type view struct {
	by           dialer
	scheme, host string
	tls          *tls.Config
}

func (p view) at(path, token string) question {
	return question{url: p.scheme + "://" + p.host + path, by: p.by, tls: p.tls, token: token}
}

// dashboardDoors holds that the Service's address leads to the dashboard, and the NodePort, where there is one, of every node.
func (e *Env) dashboardDoors(ctx context.Context, found *part, p view) error {
	inside, err := e.asking(ctx, false)
	if err != nil {
		return err
	}
	at := net.JoinHostPort(found.service.Spec.ClusterIP, fmt.Sprint(found.port.Port))
	if err := e.connects(ctx, inside[0], at); err != nil {
		return err
	}
	e.Saw("%s takes connections from %s", at, inside[0])
	if found.port.NodePort == 0 {
		return nil
	}
	outside, err := e.asking(ctx, true)
	if err != nil {
		return err
	}
	for _, n := range e.Nodes {
		if err := e.connects(ctx, outside[0], net.JoinHostPort(n.Address, fmt.Sprint(found.port.NodePort))); err != nil {
			return err
		}
	}
	e.Saw("port %d of %s takes connections from %s", found.port.NodePort, nodeNames(e.Nodes), outside[0])
	var seen []string
	for _, n := range e.Nodes {
		there := view{scheme: p.scheme, host: net.JoinHostPort(n.Address, fmt.Sprint(found.port.NodePort)), tls: p.tls}
		_, err := e.fetch(ctx, there.at("/config", ""))
		var away *net.OpError
		if errors.As(err, &away) && away.Op == "dial" {
			e.Saw("the workstation itself has no direct way there (%v)", err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("from the workstation: %w", err)
		}
		seen = append(seen, there.scheme+"://"+there.host)
	}
	e.Saw("from the workstation %s answer", strings.Join(seen, ", "))
	return nil
}

// connects opens a connection from a hand.
func (e *Env) connects(ctx context.Context, h hand, addr string) error {
	if _, err := e.exec(ctx, e.hands.home, h.pod, "hand", nil, "/agnhost", "connect", "--timeout=5s", addr); err != nil {
		return fmt.Errorf("from %s: %s: %w", h, addr, err)
	}
	return nil
}

// dashboardLogin holds that the dashboard shows nothing without a token, and with one what its account may see.
func (e *Env) dashboardLogin(ctx context.Context, p view, path string) error {
	status, _, err := e.ask(ctx, p.at(path, ""))
	if err != nil {
		return err
	}
	if status != http.StatusUnauthorized && status != http.StatusForbidden {
		return fmt.Errorf("without a token %s is answered with %d", path, status)
	}
	token, err := e.viewer(ctx)
	if err != nil {
		return err
	}
	body, err := e.fetch(ctx, p.at(path, token))
	if err != nil {
		return fmt.Errorf("with the token of an account that may view: %w", err)
	}
	var list corev1.NamespaceList
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Items) == 0 {
		return fmt.Errorf("with a token it lists no namespaces (%v)", err)
	}
	e.Saw("without a token the list of namespaces is refused (%d); with that of an account that may view it has %d", status, len(list.Items))
	return nil
}

// viewer makes an account that may view, for ten minutes, and returns its token.
func (e *Env) viewer(ctx context.Context) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: named("viewer")}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: e.Namespace, Labels: app("viewer")},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "viewer", Namespace: e.Namespace}},
	}
	if err := e.create(ctx, account, binding); err != nil {
		return "", err
	}
	made, err := e.Client.CoreV1().ServiceAccounts(e.Namespace).CreateToken(ctx, "viewer",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr(int64(600))}}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return made.Status.Token, nil
}
