package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lock is a kernel lock on a file that names its holder. It lives as long as the open file, that is at most as long as
// this process: whatever kills the agent frees the host, and no clock is asked.
type lock struct {
	file *os.File
	path string
}

// acquire takes the lock or returns a *LockedError that names who has it.
func acquire(path string, h Holder) (*lock, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock the host: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			defer f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, &LockedError{Holder: readHolder(f)}
			}
			return nil, fmt.Errorf("lock the host: %s: %w", path, err)
		}
		l := &lock{file: f, path: path}
		// The one who had the lock removes the file as it leaves, so what we locked may no longer be what the next one will open.
		if !l.current() {
			f.Close()
			continue
		}
		if err := l.name(h); err != nil {
			l.release()
			return nil, fmt.Errorf("lock the host: %w", err)
		}
		return l, nil
	}
}

func (l *lock) current() bool {
	mine, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(l.path)
	return err == nil && os.SameFile(mine, there)
}

// name writes the holder into the file, for the one who comes too late.
func (l *lock) name(h Holder) error {
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(append(line, '\n'), 0)
	return err
}

func (l *lock) release() {
	if l.current() {
		_ = os.Remove(l.path)
	}
	_ = l.file.Close()
}

// readHolder reads who holds the lock. The holder may be between taking the lock and writing its name: it is given a moment.
func readHolder(f *os.File) (h Holder) {
	for range 20 {
		buf := make([]byte, 4096)
		n, _ := f.ReadAt(buf, 0)
		if json.Unmarshal(buf[:n], &h) == nil {
			return h
		}
		time.Sleep(10 * time.Millisecond)
	}
	return Holder{}
}
