package source

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/kubewright/kubewright/bundle"
)

// tree is the content of one layer, by path without leading slash. Folders that are not named come by themselves.
type tree map[string]node

type node struct {
	mode int64
	link string                        // where a symbolic link leads
	dir  bool                          // an empty folder
	size int64                         // of what open gives
	open func() (io.ReadCloser, error) // a file's content
}

func fileNode(data []byte, mode int64) node {
	return node{mode: mode, size: int64(len(data)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// form is a way to compress the layers of an image.
type form struct {
	kind     string // of the component
	media    types.MediaType
	compress func(io.Writer) (io.WriteCloser, error)
}

// forms are all of them: one core unpacks an image of ours from zstd in a third of the time that gzip takes, and Docker reads zstd only from
// version 23 on.
var forms = []form{
	{bundle.KindImage, types.OCILayerZStd, func(w io.Writer) (io.WriteCloser, error) {
		// The fastest level and one goroutine: hosts unpack all levels equally fast, and the bytes must not depend on timing.
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}},
	{bundle.KindGzip, types.OCILayer, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, 6) }},
}

// addLayer writes a tree as a layer. The same tree makes the same bytes: entries are sorted, everything belongs to root and nothing has a
// time.
func addLayer(w *bundle.Writer, f form, t tree) (bundle.Layer, error) {
	diff := sha256.New()
	r, compressed := io.Pipe()
	go func() {
		z, err := f.compress(compressed)
		if err == nil {
			err = writeTar(io.MultiWriter(z, diff), t)
			if closed := z.Close(); err == nil {
				err = closed
			}
		}
		compressed.CloseWithError(err)
	}()
	d, err := w.AddBlob(r, f.media)
	r.CloseWithError(io.ErrClosedPipe)
	if err != nil {
		return bundle.Layer{}, err
	}
	return bundle.Layer{
		Descriptor: d,
		DiffID:     v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(diff.Sum(nil))},
	}, nil
}

func writeTar(w io.Writer, t tree) error {
	tw := tar.NewWriter(w)
	withParents := maps.Clone(t)
	for name := range t {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := withParents[dir]; !ok {
				withParents[dir] = node{mode: 0o755, dir: true}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(withParents)) {
		if err := writeNode(tw, name, withParents[name]); err != nil {
			return err
		}
	}
	return tw.Close()
}

func writeNode(tw *tar.Writer, name string, n node) error {
	h := &tar.Header{Name: name, Mode: n.mode, Format: tar.FormatPAX, Typeflag: tar.TypeReg, Size: n.size}
	switch {
	case n.dir:
		h.Name, h.Typeflag = name+"/", tar.TypeDir
	case n.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, n.link, 0o777
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if n.open == nil {
		return nil
	}
	r, err := n.open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(tw, r)
	return err
}
