package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/preflight"
)

// ownImages refuses addons of the user's whose images a node does not get from the cluster's registry, each by host and image, before anything is applied. What the
// bundle has, up pushes; and as long as there is no registry, nobody can be asked.
func (f *fleet) ownImages(ctx context.Context) error {
	stock := phases.Stocked(f.cluster, f.bundle.Lock)
	var ask []bundle.Component
	of := map[string]string{}
	for _, w := range addons.OwnImages(f.cluster, f.cluster.Registry()) {
		pushed := slices.ContainsFunc(stock, func(c bundle.Component) bool {
			return c.Repository == w.Repository && (w.Version == c.Version || w.Version == c.ManifestDigest())
		})
		if !pushed {
			c := bundle.Component{Kind: bundle.KindImage, Repository: w.Repository, Version: w.Version, Digest: w.Version}
			ask, of[c.Repository+":"+c.Version] = append(ask, c), w.Addon
		}
	}
	if len(ask) == 0 || !preflight.RegistryRuns(preflight.Input{Cluster: f.cluster, Facts: f.facts()}) {
		return nil
	}
	lacks, _, err := f.lacking(ctx, ask)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range lacks {
		errs = append(errs, &lackingError{l, of[l.Image], f.cluster.Registry()})
	}
	return errors.Join(errs...)
}

// lackingError is an image that a host does not get.
type lackingError struct {
	lack
	addon, registry string
}

func (e *lackingError) Error() string {
	return fmt.Sprintf("%s: the image %s of the addon %s: %s (%s)", e.Host, strings.Replace(e.Image, ":sha256:", "@sha256:", 1), e.addon, e.Why, e.registry)
}

// Remedy says how it comes there.
func (e *lackingError) Remedy() string {
	return "push it to " + e.registry + ", or name one that is there: kubewright images list"
}
