package ops

import (
	"context"
	"net/url"
	"slices"
)

// podLabel is on every container that cri-dockerd has Docker make.
const podLabel = "io.kubernetes.docker.type"

type dockerImage struct {
	ID      string   `json:"Id"`
	Digests []string `json:"RepoDigests"`
}

type dockerContainer struct {
	ID      string `json:"Id"`
	Names   []string
	ImageID string
	Labels  map[string]string
	State   string // running, or another
}

// pod says whether the kubelet is its owner, who looks after it.
func (c dockerContainer) pod() bool { _, ok := c.Labels[podLabel]; return ok }

// images lists the IDs of all images.
func (e engine) images(ctx context.Context) ([]string, error) {
	var all []dockerImage
	if err := e.get(ctx, "/images/json", nil, &all); err != nil {
		return nil, err
	}
	var out []string
	for _, i := range all {
		out = append(out, i.ID)
	}
	slices.Sort(out)
	return out, nil
}

// containers lists all, those that do not run among them.
func (e engine) containers(ctx context.Context) (all []dockerContainer, err error) {
	return all, e.get(ctx, "/containers/json", url.Values{"all": {"1"}}, &all)
}

// DockerClaim is the name of the claim whose record says whether there was a Docker before.
const DockerClaim = "docker"

// clearDocker removes the containers of pods, and the images that were pulled since and that nothing left over uses. An image without a digest was
// built or loaded here, so somebody else made it and nobody could get it back. Where there was no Docker before, all containers go with it: they would
// outlive it otherwise.
func clearDocker(ctx context.Context, m Machine, before []string) error {
	e := engineOf(m)
	containers, err := e.containers(ctx)
	if engineAway(err) {
		there, starting := startDocker(ctx, m)
		if !there || starting != nil { // what is not installed any more keeps nothing, either
			return starting
		}
		containers, err = e.containers(ctx)
	}
	if err != nil {
		return err
	}
	rec, err := Claim{Name: DockerClaim}.read(m)
	if err != nil {
		return err
	}
	all := rec != nil && !slices.Contains(rec.Known, dockerUnit)
	used := slices.Clone(before)
	for _, c := range containers {
		if !c.pod() && !all {
			used = append(used, c.ImageID)
			continue
		}
		if err := changing(m, "remove container "+c.ID); err != nil {
			return err
		}
		if err := e.remove(ctx, "/containers/"+c.ID, url.Values{"force": {"1"}, "v": {"1"}}); err != nil {
			return err
		}
	}
	var images []dockerImage
	if err := e.get(ctx, "/images/json", nil, &images); err != nil {
		return err
	}
	for _, i := range images {
		if slices.Contains(used, i.ID) || len(i.Digests) == 0 {
			continue
		}
		if err := changing(m, "remove image "+i.ID); err != nil {
			return err
		}
		if err := e.remove(ctx, "/images/"+i.ID, url.Values{"force": {"1"}}); err != nil {
			return err
		}
	}
	return nil
}
