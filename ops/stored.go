package ops

import (
	"context"
	"fmt"
	"strings"
)

// Stored is a component in the registry that runs on this host, seen in the registry's own storage.
type Stored struct {
	Root       string `json:"root"` // the registry's root directory
	Repository string `json:"repository"`
	Digest     string `json:"digest"` // of the manifest
	Component  string `json:"component"`
	Present    bool   `json:"present,omitempty"`
}

func (s Stored) Key() Key { return Key("stored:" + s.Repository + "@" + s.Digest) }

func (s Stored) Observe(_ context.Context, m Machine) (Op, error) {
	link, err := s.link()
	if err != nil {
		return nil, err
	}
	s.Present = exists(m, link)
	return s, nil
}

// Set has the component pushed. Undoing it takes the manifest's name away; the bytes go with the registry's directory.
func (s Stored) Set(ctx context.Context, m Machine, _ Op) error {
	if s.Present {
		if err := changing(m, "push "+s.Component); err != nil {
			return err
		}
		_, err := m.Ask(ctx, Question{Key: s.Key(), Kind: AskPush, Name: s.Component})
		return err
	}
	link, err := s.link()
	if err != nil || !exists(m, link) {
		return err
	}
	return remove(m, link)
}

// link is the file with which the registry's file system driver remembers that a repository has a manifest.
func (s Stored) link() (string, error) {
	algorithm, hexed, ok := strings.Cut(s.Digest, ":")
	if !ok || strings.ContainsAny(s.Digest, "/.") || strings.Contains("/"+s.Repository+"/", "/../") {
		return "", fmt.Errorf("%s@%s does not name a manifest", s.Repository, s.Digest)
	}
	return s.Root + "/docker/registry/v2/repositories/" + s.Repository + "/_manifests/revisions/" + algorithm + "/" + hexed + "/link", nil
}
