package sshtest

import (
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/pkg/sftp"
)

// tree is the host's file system as one login sees it over SFTP. Logins other than root write below their home and in /dev/shm only.
type tree struct {
	server *Server
	root   bool
	home   string
}

func (t *tree) may(path string) error {
	if t.root || path == t.home || strings.HasPrefix(path, t.home+"/") || strings.HasPrefix(path, "/dev/shm/") {
		return nil
	}
	return fs.ErrPermission
}

func (t *tree) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	return os.Open(t.server.path(r.Filepath))
}

func (t *tree) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	if err := t.may(r.Filepath); err != nil {
		return nil, err
	}
	flags, how := os.O_WRONLY, r.Pflags()
	if how.Creat {
		flags |= os.O_CREATE
	}
	if how.Excl {
		flags |= os.O_EXCL
	}
	if how.Trunc {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(t.server.path(r.Filepath), flags, 0o644)
}

func (t *tree) Filecmd(r *sftp.Request) error {
	if err := t.may(r.Filepath); err != nil {
		return err
	}
	path := t.server.path(r.Filepath)
	switch r.Method {
	case "Mkdir":
		return os.Mkdir(path, 0o755)
	case "Remove", "Rmdir":
		return os.Remove(path)
	case "Setstat":
		if r.AttrFlags().Permissions {
			return os.Chmod(path, r.Attributes().FileMode().Perm())
		}
		return nil
	}
	return sftp.ErrSSHFxOpUnsupported
}

func (t *tree) PosixRename(r *sftp.Request) error {
	if err := t.may(r.Target); err != nil {
		return err
	}
	return os.Rename(t.server.path(r.Filepath), t.server.path(r.Target))
}

func (t *tree) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	if r.Method != "Stat" {
		return nil, sftp.ErrSSHFxOpUnsupported
	}
	fi, err := os.Stat(t.server.path(r.Filepath))
	return one{fi}, err
}

func (t *tree) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	fi, err := os.Lstat(t.server.path(r.Filepath))
	return one{fi}, err
}

// one is a listing of one file.
type one struct{ fs.FileInfo }

func (o one) ListAt(into []fs.FileInfo, offset int64) (int, error) {
	if offset > 0 || len(into) == 0 {
		return 0, io.EOF
	}
	into[0] = o.FileInfo
	return 1, io.EOF
}
