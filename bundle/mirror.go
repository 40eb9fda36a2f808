package bundle

import "context"

// Mirror brings the named components of a lock, all of them if there are no names, from one registry into another. Blobs pass through and are
// kept nowhere; what the other has already is not asked for.
func Mirror(ctx context.Context, from, to Registry, lock Lock, names []string, progress Progress) error {
	todo, err := lock.Choose(names)
	if err != nil {
		return err
	}
	source, err := newClient(from)
	if err != nil {
		return err
	}
	p, err := newPusher(source, to, progress)
	if err != nil {
		return err
	}
	return each(todo, func(c Component) error { return p.push(ctx, c) })
}
