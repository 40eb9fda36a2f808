package addons

import (
	"context"
	stderrors "errors"
	"io"
	"net"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
)

// How long an API server that is away or busy is asked again, and how soon.
const (
	persistFor   = 60 * time.Second
	persistPause = 250 * time.Millisecond
	persistMost  = 4 * time.Second
)

// persist repeats what failed because the API server restarts, is overwhelmed, or lost a race with somebody else's write. What it refuses
// for another reason is final.
func persist(ctx context.Context, do func() error) error { return repeat(ctx, do, passing) }

// persistWriting also waits for a webhook: what answers for it may be starting.
func persistWriting(ctx context.Context, do func() error) error {
	return repeat(ctx, do, func(err error) bool { return passing(err) || hookFailed(err) })
}

func repeat(ctx context.Context, do func() error, passing func(error) bool) error {
	end := time.Now().Add(persistFor)
	for pause := persistPause; ; pause = min(2*pause, persistMost) {
		err := do()
		if err == nil || !passing(err) || time.Now().After(end) {
			return err
		}
		if after, ok := errors.SuggestsClientDelay(err); ok {
			pause = max(pause, time.Duration(after)*time.Second)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// passing says whether an error is of the kind that goes by itself.
func passing(err error) bool {
	var network net.Error
	var slow *unanswered
	switch {
	case severed(err), hookFailed(err):
		return false
	case stderrors.As(err, &slow) && stderrors.Is(err, context.DeadlineExceeded):
		return true // our own patience with one answer, which says nothing about the next
	case stderrors.Is(err, context.Canceled), stderrors.Is(err, context.DeadlineExceeded):
		return false
	case errors.IsTooManyRequests(err), errors.IsServerTimeout(err), errors.IsTimeout(err), errors.IsServiceUnavailable(err),
		errors.IsInternalError(err), errors.IsConflict(err):
		return true
	case stderrors.As(err, &network), stderrors.Is(err, io.EOF), stderrors.Is(err, io.ErrUnexpectedEOF):
		return true
	}
	return false
}

// severed says that what carries the connection to the API server is gone for good, so that asking again cannot help.
func severed(err error) bool {
	var carrier interface{ Severed() bool }
	return stderrors.As(err, &carrier) && carrier.Severed()
}
