package ops

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// rewrite gives a file that belongs to somebody else new bytes, where a symlink leads to it the file behind that, and keeps everything but the
// bytes. One that is not there is made with the mode.
func rewrite(m Machine, p string, data []byte, mode uint32) error {
	fill := func(w io.Writer) error { _, err := w.Write(data); return err }
	if !exists(m, p) {
		return writeFile(m, p, attrs{mode: mode}, fill)
	}
	fi, err := os.Lstat(m.Path(p))
	if err == nil && fi.Mode()&os.ModeSymlink != 0 {
		if p, err = resolve(m, p); err != nil {
			return err
		}
		fi, err = os.Lstat(m.Path(p))
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", p, cause(err))
	}
	a := attrs{mode: modeOf(fi), like: p}
	a.uid, a.gid = ownerOf(m, fi)
	return writeFile(m, p, a, fill)
}

// discard removes a file that was not there, what a crash left of writing it, and the directories that were made for it.
func discard(m Machine, p string, g parents) error {
	if err := remove(m, p); err != nil {
		return err
	}
	return g.prune(m, p)
}

// eolOf is how the file ends its lines.
func eolOf(data []byte) string {
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}
