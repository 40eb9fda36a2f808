package bundle

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The states that a component is found in.
const (
	StatePresent  = "present"
	StateMissing  = "missing"
	StateOther    = "other digest"   // its tag leads to something else
	StateKind     = "wrong platform" // it is for other machines than the lock says
	StateDamaged  = "damaged"        // the manifest is there, and some of what it names is not
	StateAnswered = "refused"        // the registry does not say
)

// Checked is how one component was found in a registry.
type Checked struct {
	Component Component
	State     string
	Detail    string // what exactly, where there is more to say
}

// Check looks for the named components of a lock in a registry, and does not fetch them. It fails only where the registry as a whole does.
func Check(ctx context.Context, at Registry, lock Lock, names []string) ([]Checked, error) {
	todo, err := lock.Choose(names)
	if err != nil {
		return nil, err
	}
	c, err := newClient(at)
	if err != nil {
		return nil, err
	}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	out := make([]Checked, len(todo))
	place := map[string]int{}
	for i, x := range todo {
		place[x.Repository] = i
	}
	err = each(todo, func(x Component) error {
		state, detail, err := c.look(ctx, x)
		out[place[x.Repository]] = Checked{Component: x, State: state, Detail: detail}
		return err
	})
	return out, err
}

func (c *client) look(ctx context.Context, x Component) (state, detail string, err error) {
	p, err := partsOf(ctx, c, x)
	var t *Trouble
	switch {
	case errors.As(err, &t) && t.Class == NotFound:
		tag, err := c.head(ctx, x, x.Version)
		if err != nil {
			return StateMissing, t.Words, err
		}
		if tag != "" {
			return StateOther, "its tag is " + tag, nil
		}
		return StateMissing, t.Words, nil
	case errors.As(err, &t) && t.Class == WrongDigest:
		return StateDamaged, t.Words, nil
	case errors.As(err, &t) && (t.Class == Refused || t.Class == Forbidden && t.What != ""):
		return StateAnswered, t.Words, nil
	case err != nil:
		return "", "", err
	}
	for _, d := range p.blobs {
		if detail, err := c.lacks(ctx, x, d); err != nil || detail != "" {
			return StateDamaged, detail, err
		}
	}
	if x.Kind == KindFile || p.root().isIndex() {
		return StatePresent, "", nil
	}
	is, err := platformOf(ctx, c, x, p.root().raw)
	if errors.As(err, &t) {
		return StateDamaged, t.Words, nil
	}
	if err == nil && is != x.Platform {
		return StateKind, "it is for " + is + ", and the lock says " + x.Platform, nil
	}
	return StatePresent, "", err
}

// lacks says in which way a blob is not there.
func (c *client) lacks(ctx context.Context, x Component, d v1.Descriptor) (string, error) {
	answer, err := c.ask(ctx, http.MethodHead, x, "blobs", d.Digest.String(), "")
	var t *Trouble
	if errors.As(err, &t) && t.Class == NotFound {
		return "blob " + d.Digest.String() + " is missing", nil
	}
	if err != nil {
		return "", err
	}
	answer.Body.Close()
	if n := answer.ContentLength; n >= 0 && n != d.Size {
		return "blob " + d.Digest.String() + " has " + strconv.FormatInt(n, 10) + " bytes instead of " + strconv.FormatInt(d.Size, 10), nil
	}
	return "", nil
}
