package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/pki"
	"github.com/spf13/cobra"
)

// adminRequest is the everyday credential: its power comes from a role binding, which can be taken away (kubeadm's admin.conf).
var adminRequest = pki.Request{
	CommonName: "kubernetes-admin", Organization: []string{"kubeadm:cluster-admins"}, Usages: []pki.Usage{pki.ClientAuth}, Days: 365,
}

// writeKubeconfig makes sure that the file opens the cluster, and says whether it had to write it.
func (f *fleet) writeKubeconfig(ctx context.Context, path string) (bool, error) {
	holder, _ := phases.AuthorityHost(f.cluster, phases.KubernetesCA)
	m, err := f.member(holder.Name)
	if err != nil {
		return false, err
	}
	ca := []byte(m.Facts().Authorities[phases.KubernetesCA])
	if len(ca) == 0 {
		if ca, err = m.ReadCA(ctx, phases.KubernetesCA); err != nil {
			return false, err
		}
	}
	server := "https://" + f.cluster.Endpoint()
	old, err := ownKubeconfig(path, f.cluster.Metadata.Name)
	if err != nil {
		return false, err
	}
	if old != nil && old.Server == server && pki.Stale(old.ClientCert, old.ClientKey, ca, adminRequest, time.Now()) == "" {
		return false, nil
	}
	cert, key, err := f.credential(ctx, m, adminRequest)
	if err != nil {
		return false, err
	}
	content, err := pki.Kubeconfig{
		Cluster: f.cluster.Metadata.Name, Server: server, User: adminRequest.CommonName, CA: ca, ClientCert: cert, ClientKey: key,
	}.Encode()
	if err != nil {
		return false, err
	}
	return true, writeWhole(path, content, 0o600)
}

// ownKubeconfig reads the kubeconfig at path, nil where there is none yet. What opens another cluster, or was not made here, is refused.
func ownKubeconfig(path, cluster string) (*pki.Kubeconfig, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat(filepath.Dir(path))
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	k, err := pki.DecodeKubeconfig(raw)
	if err != nil {
		return nil, coded{exitRefused, fmt.Errorf("%s is not a kubeconfig of kubewright's; name another file with --kubeconfig", path)}
	}
	if k.Cluster != cluster {
		return nil, coded{exitRefused, fmt.Errorf("%s opens another cluster, %s; name another file with --kubeconfig", path, k.Cluster)}
	}
	return &k, nil
}

func kubeconfigCommand() *cobra.Command {
	var file, path string
	cmd := &cobra.Command{
		Use: "kubeconfig", Short: "Write the kubeconfig of a running cluster", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := inventory.Load(file)
			if err != nil {
				return err
			}
			f, err := connect(cmd.Context(), c, nil, nil)
			if err != nil {
				return err
			}
			defer f.close()
			if err := f.foreign(); err != nil {
				return err
			}
			path := kubeconfigPath(path, file)
			if _, err := f.writeKubeconfig(cmd.Context(), path); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), path)
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "f", "cluster.yaml", "the inventory file")
	cmd.Flags().StringVar(&path, "kubeconfig", "", "where to write it (default: kubeconfig beside the inventory)")
	return cmd
}
