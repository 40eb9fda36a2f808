package ops

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Aside runs what changes the thread that it runs on, such as its namespaces, on one that ends with it. The main thread is never taken: it does not end
// before the process, and what /proc says of the process is what is true of that thread.
func Aside(do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			result <- Aside(do) // while this goroutine keeps it, the other gets another one
			runtime.UnlockOSThread()
			return
		}
		result <- do() // a thread that was never unlocked ends with its goroutine
	}()
	return <-result
}
