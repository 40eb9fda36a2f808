package preflight

// runtime finds a container runtime that is not the one the host shall have. Docker that is there already is as good as one of ours, where Docker
// is wanted; what runs in containerd is the business of whoever started it there.
func runtime(l *look) {
	containerd, docker, ours := l.f.Units["containerd.service"], l.f.Units["docker.service"], l.f.Units["cri-docker.service"]
	wanted := l.Cluster.Spec.Docker.Package
	const none, reset = "no other container runtime", "run kubewright reset on the host before it gets another runtime"
	l.see("no other container runtime runs")
	switch {
	case l.host.Docker() && containerd.Inputs != "": // only a unit of ours says what it was started from
		l.add("pods run in containerd", "runtime: containerd, as up to now", reset)
	case !l.host.Docker() && l.ours() && ours.Active:
		l.add("pods run in Docker", "runtime: docker, as up to now", reset)
	case l.host.Docker() && l.f.Docker != "" && l.f.Docker != wanted:
		l.add("Docker is there from the package "+l.f.Docker, wanted+", as the inventory says", "write spec.docker.package: "+l.f.Docker+", or use another host")
	case l.host.Docker() || l.ours():
	case docker.Active:
		l.add("docker.service runs already", none, "take it off the host, use another host, or write runtime: docker for it")
	case containerd.Active:
		l.add("containerd.service runs already", none, "take it off the host, or use another host")
	}
}
