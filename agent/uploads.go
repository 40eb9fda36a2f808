package agent

import (
	"log"
	"os"
	"path/filepath"
)

// sweepUploads removes what is left of uploads whose connection was cut, below the state directory. The host package writes a file as NAME.part-SOMETHING
// until it is whole. One that a process has open is being written, for a run that is about to find the host locked.
func sweepUploads(dir string) {
	var parts []string
	for _, where := range []string{"agent/*/*.part-*", "blobs/*.part-*"} {
		found, _ := filepath.Glob(filepath.Join(dir, where)) // the patterns are right
		parts = append(parts, found...)
	}
	if len(parts) == 0 {
		return
	}
	open := openFiles()
	for _, part := range parts {
		if open[part] {
			continue
		}
		if err := os.Remove(part); err != nil && !os.IsNotExist(err) {
			log.Printf("%v", err) // it goes with the directory
		}
	}
}

// openFiles are the paths of all files that some process has open.
func openFiles() map[string]bool {
	open := map[string]bool{}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if path, err := os.Readlink(link); err == nil {
			open[path] = true
		}
	}
	return open
}
