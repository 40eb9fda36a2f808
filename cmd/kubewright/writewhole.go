package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// writeWhole puts a file in its place whole or not at all; at no time can anybody read it who may not in the end.
func writeWhole(path string, content []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".kubewright-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
