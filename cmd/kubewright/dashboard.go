package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// How long a token is valid: nobody can call one back before its end without taking the account away. The API server makes none shorter.
const (
	shortestToken = 10 * time.Minute
	usualToken    = time.Hour
	longestToken  = 24 * time.Hour
)

func dashboardCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "dashboard", Short: "Log in to the dashboard of a running cluster"}
	var file string
	cmd.PersistentFlags().StringVarP(&file, "config", "f", "cluster.yaml", "the inventory file")
	var admin bool
	var ttl time.Duration
	token := &cobra.Command{
		Use: "token", Short: "Print a token to log in with, valid for a short time", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTTL(ttl); err != nil {
				return err
			}
			return onDashboard(cmd.Context(), file, func(c kubernetes.Interface, i *inventory.Cluster) error {
				account, may := addons.DashboardViewer, "reads everything but secrets"
				if admin {
					account, may = addons.DashboardAdmin, "may do everything"
				}
				t, err := dashboardToken(cmd.Context(), c, account, ttl)
				if err != nil {
					return err
				}
				url, how, err := dashboardURL(cmd.Context(), c, i)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "a token of %s, which %s, until %s; log in with it at %s%s\n",
					account, may, t.Status.ExpirationTimestamp.Local().Format(time.DateTime), url, how)
				fmt.Fprintln(cmd.OutOrStdout(), t.Status.Token)
				return nil
			})
		},
	}
	token.Flags().BoolVar(&admin, "admin", false, "of the account that may do everything, where the inventory has it")
	token.Flags().DurationVar(&ttl, "ttl", usualToken, "how long it is valid: 10m to 24h")
	url := &cobra.Command{
		Use: "url", Short: "Print where the dashboard is", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onDashboard(cmd.Context(), file, func(c kubernetes.Interface, i *inventory.Cluster) error {
				url, how, err := dashboardURL(cmd.Context(), c, i)
				if err != nil {
					return err
				}
				if how != "" {
					fmt.Fprintln(cmd.ErrOrStderr(), url+how)
				}
				fmt.Fprintln(cmd.OutOrStdout(), url)
				return nil
			})
		},
	}
	cmd.AddCommand(token, url)
	return cmd
}

func checkTTL(ttl time.Duration) error {
	switch {
	case ttl > longestToken:
		return coded{exitRefused, fmt.Errorf("--ttl %s: a token cannot be called back, so none is valid for more than %s; make another when it ends", ttl, longestToken)}
	case ttl < shortestToken:
		return usageError{fmt.Errorf("--ttl %s: the API server makes none that is valid for less than %s", ttl, shortestToken)}
	}
	return nil
}

// onDashboard does something with the API of the inventory's cluster.
func onDashboard(ctx context.Context, file string, do func(kubernetes.Interface, *inventory.Cluster) error) error {
	c, err := inventory.Load(file)
	if err != nil {
		return err
	}
	f, unreached := connectSome(ctx, c, nil)
	defer f.close()
	if err := f.foreign(); err != nil {
		return err
	}
	if holder, ok := phases.AuthorityHost(c, phases.KubernetesCA); ok && f.hosts[holder.Name] == nil {
		return unreached // the way to the API is through it
	}
	client, err := addons.NewAPI(phases.ClusterTarget, f.rest).Client(ctx)
	if err != nil {
		return err
	}
	return do(client, c)
}

var errNoDashboard = errors.New("the cluster has no dashboard; have one with kubewright addon enable dashboard")

// dashboardToken has the API server make a token of an account.
func dashboardToken(ctx context.Context, c kubernetes.Interface, account string, ttl time.Duration) (*authenticationv1.TokenRequest, error) {
	seconds := int64(ttl / time.Second)
	t, err := c.CoreV1().ServiceAccounts(addons.DashboardNamespace).CreateToken(ctx, account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	switch {
	case apierrors.IsNotFound(err) && account == addons.DashboardAdmin:
		return nil, coded{exitRefused, fmt.Errorf("the cluster has no account %s; say spec.addons.dashboard.admin: true in the inventory and run kubewright up, "+
			"or leave out --admin", account)}
	case apierrors.IsNotFound(err):
		return nil, coded{exitRefused, errNoDashboard}
	}
	return t, err
}

// dashboardURL says where the dashboard is and, where that takes something more than a browser, how to get there.
func dashboardURL(ctx context.Context, c kubernetes.Interface, i *inventory.Cluster) (url, how string, err error) {
	ingress, err := c.NetworkingV1().Ingresses(addons.DashboardNamespace).Get(ctx, "headlamp", metav1.GetOptions{})
	if err == nil {
		return ingressURL(ingress, i), "", nil
	}
	if !apierrors.IsNotFound(err) {
		return "", "", err
	}
	service, err := c.CoreV1().Services(addons.DashboardNamespace).Get(ctx, "headlamp", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", "", coded{exitRefused, errNoDashboard}
	}
	if err != nil {
		return "", "", err
	}
	url, how = serviceURL(service, i)
	return url, how, nil
}

func ingressURL(i *networkingv1.Ingress, c *inventory.Cluster) string {
	scheme, host, in := "http", i.Spec.Rules[0].Host, c.Spec.Addons.Ingress
	port := in.HTTPPort
	if len(i.Spec.TLS) > 0 {
		scheme, port = "https", in.HTTPSPort
	}
	if in.Expose == inventory.ExposeNodePort {
		host = net.JoinHostPort(host, strconv.Itoa(port))
	}
	return scheme + "://" + host + "/"
}

// serviceURL is a node's address, as every node answers at a NodePort.
func serviceURL(s *corev1.Service, c *inventory.Cluster) (url, how string) {
	p := s.Spec.Ports[0] // named after what it speaks
	if p.NodePort == 0 {
		return p.Name + "://localhost:4466/", fmt.Sprintf(", while this runs: kubectl -n %s port-forward service/%s 4466:%d", s.Namespace, s.Name, p.Port)
	}
	return p.Name + "://" + net.JoinHostPort(c.Door().String(), strconv.Itoa(int(p.NodePort))) + "/", ""
}
