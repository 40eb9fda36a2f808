// Package e2e runs the program against real hosts: a lab of systemd hosts with sshd, a real registry and a real Kubernetes. Its tests
// need root and are built with the tag e2e; make e2e runs them.
package e2e
