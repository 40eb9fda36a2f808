// Package vm runs the program against a host with a kernel of its own (make e2e-vm): what a container shares with the machine below can be tried
// there only. Its tests have the build tag e2e.
package vm
