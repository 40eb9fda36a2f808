package fingerprint

import (
	"os"
	"strconv"
	"testing"
)

// TestAncestors: whoever asks is not among what is told, wherever its login was put, and init always is.
func TestAncestors(t *testing.T) {
	all := ancestors()
	for _, pid := range []int{os.Getpid(), os.Getppid()} {
		if pid > 1 && !all[strconv.Itoa(pid)] {
			t.Errorf("%d is not among %v", pid, all)
		}
	}
	if all["1"] {
		t.Error("init is taken for a login")
	}
}
