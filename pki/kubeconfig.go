package pki

import (
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"
)

// Kubeconfig is how one user reaches one cluster. The client's certificate and key are either in it, or in ClientFile.
type Kubeconfig struct {
	Cluster, Server, User string
	CA                    []byte
	ClientCert            []byte
	ClientKey             Secret
	ClientFile            string // holds certificate and key; the kubelet renews it itself
}

// The file as clientcmd's v1 has it; []byte is base64 in it, as in JSON.
type kubeconfigFile struct {
	APIVersion     string         `json:"apiVersion"`
	Clusters       []namedCluster `json:"clusters"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
	Kind           string         `json:"kind"`
	Preferences    struct{}       `json:"preferences,omitzero"`
	Users          []namedUser    `json:"users"`
}

type namedCluster struct {
	Cluster struct {
		CA     []byte `json:"certificate-authority-data"`
		Server string `json:"server"`
	} `json:"cluster"`
	Name string `json:"name"`
}

type namedContext struct {
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
	Name string `json:"name"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		Cert     []byte `json:"client-certificate-data,omitempty"`
		Key      []byte `json:"client-key-data,omitempty"`
		CertFile string `json:"client-certificate,omitempty"`
		KeyFile  string `json:"client-key,omitempty"`
	} `json:"user"`
}

// Encode writes the kubeconfig as kubectl does, with the one context user@cluster. What it returns holds the private key.
func (k Kubeconfig) Encode() ([]byte, error) {
	if k.Cluster == "" || k.Server == "" || k.User == "" || len(k.CA) == 0 {
		return nil, errors.New("a kubeconfig needs a cluster, a server, a user and the authority's certificate")
	}
	if embedded, file := len(k.ClientCert) > 0 && len(k.ClientKey) > 0, k.ClientFile != ""; embedded == file {
		return nil, errors.New("a kubeconfig needs either a client certificate with its key or the file that holds both")
	}
	name := k.User + "@" + k.Cluster
	f := kubeconfigFile{APIVersion: "v1", Kind: "Config", CurrentContext: name}
	c := namedCluster{Name: k.Cluster}
	c.Cluster.CA, c.Cluster.Server = k.CA, k.Server
	x := namedContext{Name: name}
	x.Context.Cluster, x.Context.User = k.Cluster, k.User
	u := namedUser{Name: k.User}
	u.User.Cert, u.User.Key, u.User.CertFile, u.User.KeyFile = k.ClientCert, k.ClientKey, k.ClientFile, k.ClientFile
	f.Clusters, f.Contexts, f.Users = []namedCluster{c}, []namedContext{x}, []namedUser{u}
	return yaml.Marshal(f)
}

// DecodeKubeconfig reads what Encode wrote. A file that says more, or several things, is an error: it is not ours to judge.
func DecodeKubeconfig(data []byte) (Kubeconfig, error) {
	var f kubeconfigFile
	if err := yaml.UnmarshalStrict(data, &f); err != nil {
		// The decoder's words may quote the file, and the file may hold a key.
		return Kubeconfig{}, errors.New("the kubeconfig cannot be read")
	}
	if len(f.Clusters) != 1 || len(f.Users) != 1 || len(f.Contexts) != 1 {
		return Kubeconfig{}, fmt.Errorf("the kubeconfig has %d clusters, %d users and %d contexts instead of one each",
			len(f.Clusters), len(f.Users), len(f.Contexts))
	}
	c, u, x := f.Clusters[0], f.Users[0], f.Contexts[0]
	if f.CurrentContext != x.Name || x.Context.Cluster != c.Name || x.Context.User != u.Name {
		return Kubeconfig{}, errors.New("the kubeconfig's context does not name its cluster and user")
	}
	if u.User.CertFile != u.User.KeyFile {
		return Kubeconfig{}, errors.New("the kubeconfig's client certificate and key are in two files")
	}
	return Kubeconfig{
		Cluster: c.Name, Server: c.Cluster.Server, User: u.Name, CA: c.Cluster.CA,
		ClientCert: u.User.Cert, ClientKey: u.User.Key, ClientFile: u.User.CertFile,
	}, nil
}
