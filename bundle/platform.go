package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var platformShape = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?$`)

// ParsePlatforms reads linux/amd64,linux/arm64.
func ParsePlatforms(list []string) ([]string, error) {
	for _, p := range list {
		if !platformShape.MatchString(p) {
			return nil, fmt.Errorf("%q is not a platform; write linux/amd64 or linux/arm64", p)
		}
	}
	return list, nil
}

// narrow is the component with its parts, for some platforms only: of an index the manifests for them, of a single image itself if it is for one of
// them. Without platforms everything is taken as the lock has it. What it returns is known by a digest of its own, if something was left out.
func narrow(ctx context.Context, from source, c Component, platforms []string) (Component, parts, error) {
	p, err := partsOf(ctx, from, c)
	if err != nil {
		return c, p, err
	}
	if root := p.root(); root.isIndex() && len(platforms) > 0 {
		return narrowIndex(ctx, from, c, p, root, platforms)
	}
	if p.root().isIndex() {
		return c, p, nil
	}
	is := c.Platform
	if c.Kind != KindFile {
		if is, err = platformOf(ctx, from, c, p.root().raw); err != nil {
			return c, p, err
		}
	}
	switch {
	case len(platforms) > 0 && !slices.Contains(platforms, is):
		return c, p, wrongKind(from, c, "it is for %s, and %s was asked for", is, strings.Join(platforms, " or "))
	case is != c.Platform:
		return c, p, wrongKind(from, c, "it is for %s, and the lock says %s", is, c.Platform)
	}
	return c, p, nil
}

func narrowIndex(ctx context.Context, from source, c Component, all parts, root manifest, platforms []string) (Component, parts, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(root.raw))
	if err != nil {
		return c, all, err
	}
	var there []string
	var chosen []v1.Descriptor
	for _, want := range platforms {
		found := false
		for _, d := range index.Manifests {
			if d.Platform != nil && matches(d.Platform, want) && !found {
				chosen, found = append(chosen, d), true
			}
		}
		if !found {
			for _, d := range index.Manifests {
				if d.Platform != nil && d.Platform.OS != "unknown" {
					there = append(there, d.Platform.String())
				}
			}
			return c, all, wrongKind(from, c, "it is there for %s, and not for %s", strings.Join(there, ", "), want)
		}
	}
	c.Platform = strings.Join(platforms, ",")
	if len(chosen) == 1 {
		// A single one needs no index, and is then what every client understands.
		c.Digest = chosen[0].Digest.String()
	} else if len(chosen) < len(index.Manifests) {
		index.Manifests = chosen
		raw, err := json.Marshal(index)
		if err != nil {
			return c, all, err
		}
		h, _, err := v1.SHA256(bytes.NewReader(raw))
		if err != nil {
			return c, all, err
		}
		c.Digest = h.String()
		from = indexed{source: from, digest: c.Digest, raw: raw}
	}
	p, err := partsOf(ctx, from, c)
	c.Size = p.bytes()
	return c, p, err
}

// indexed is a source with an index that we made.
type indexed struct {
	source
	digest string
	raw    []byte
}

func (i indexed) rawManifest(ctx context.Context, c Component, digest string) ([]byte, error) {
	if digest == i.digest {
		return i.raw, nil
	}
	return i.source.rawManifest(ctx, c, digest)
}

func matches(p *v1.Platform, want string) bool {
	is := p.OS + "/" + p.Architecture
	return is == want || p.Variant != "" && is+"/"+p.Variant == want
}

// platformOf asks an image itself: its config says what it was built for.
func platformOf(ctx context.Context, from source, c Component, raw []byte) (string, error) {
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	r, err := from.blob(ctx, c, m.Config)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxManifest))
	if err != nil {
		return "", err
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(text))
	if err != nil {
		return "", fmt.Errorf("config %s: %w", m.Config.Digest, err)
	}
	return config.OS + "/" + config.Architecture, nil
}

func wrongKind(from source, c Component, format string, args ...any) error {
	words := fmt.Sprintf(format, args...)
	if i, ok := from.(indexed); ok {
		from = i.source
	}
	if r, ok := from.(*client); ok {
		return &Trouble{Class: WrongKind, Registry: r.at.host(), What: c.short(), Words: words}
	}
	return fmt.Errorf("%s: %s", c.short(), words)
}
