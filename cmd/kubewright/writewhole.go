package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// writeWhole puts a file in its place whole or not at all; at no time can anybody read it who may not in the end.
func writeWhole(path string, content []byte, mode fs.FileMode) error {
	return writeAs(path, content, mode, os.Getuid(), os.Getgid())
}

// writeAs is writeWhole for a file that is somebody's.
func writeAs(path string, content []byte, mode fs.FileMode, uid, gid int) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".kubewright-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if uid != os.Getuid() || gid != os.Getgid() {
		err = errors.Join(err, tmp.Chown(uid, gid))
	}
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
