package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/lab/source"
	"github.com/spf13/cobra"
)

// cacheDir is kubewright's folder in the user's cache folder.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "kubewright"), err
}

// openBundle opens the named bundle, or the one that bundle build made last.
func openBundle(dir string) (*bundle.Bundle, error) {
	if dir == "" {
		cache, err := cacheDir()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(cache, "bundle")
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{fmt.Errorf("there is no bundle in %s; make one with kubewright bundle build, or name one with --bundle", dir)}
	}
	b, err := bundle.Open(dir)
	if err != nil {
		return nil, usageError{err}
	}
	return b, nil
}

func bundleCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bundle", Short: "All host binaries and images of a cluster, with their lock"}
	var out string
	build := &cobra.Command{
		Use: "build", Short: "Build the bundle from Go modules and Debian packages", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cache, err := cacheDir()
			if err != nil {
				return err
			}
			dir, err := source.Build(cmd.Context(), source.Options{CacheDir: cache, Out: out, Log: func(s string) { fmt.Fprintln(cmd.ErrOrStderr(), s) }})
			if err != nil {
				return err
			}
			if out == "" {
				if err := pointTo(filepath.Join(cache, "bundle"), dir); err != nil {
					return err
				}
			}
			fmt.Fprintln(cmd.OutOrStdout(), dir)
			return nil
		},
	}
	build.Flags().StringVar(&out, "out", "", "where to put it (default: the user's cache folder)")

	var dir string
	inspect := &cobra.Command{
		Use: "inspect", Short: "Print the lock, and check every digest", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := openBundle(dir)
			if err != nil {
				return err
			}
			if err := b.Verify(cmd.Context()); err != nil {
				return err
			}
			return b.Lock.Table(cmd.OutOrStdout())
		},
	}
	inspect.Flags().StringVar(&dir, "bundle", "", "the bundle's folder or archive (default: the last one built)")

	var flags clusterFlags
	push := &cobra.Command{
		Use: "push", Short: "Fill the cluster's registry from the bundle", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return pushToCluster(cmd.Context(), cmd.OutOrStdout(), &flags, nil)
		},
	}
	flags.add(push)
	cmd.AddCommand(build, inspect, push)
	return cmd
}

// pointTo makes link a symbolic link to dir, atomically.
func pointTo(link, dir string) error {
	if now, err := os.Readlink(link); err == nil && now == dir {
		return nil
	}
	tmp := fmt.Sprintf("%s.%d", link, os.Getpid())
	if err := os.Symlink(dir, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, link)
}

// extract puts a program of the bundle at path, unless it is there already.
func extract(b *bundle.Bundle, name, path string) error {
	c, err := b.Lock.File(name)
	if err != nil {
		return err
	}
	if digestOf(path) == c.Digest {
		return nil
	}
	r, err := b.Blob(c.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+name+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, r)
	if err = errors.Join(err, tmp.Chmod(0o755), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// digestOf is the digest of a file's bytes, empty where it cannot be read.
func digestOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
