// Package phases declares what is done to bring up a cluster: which steps, on which hosts, after what. Each phase is a value; its
// steps are a pure function of the inventory, the bundle's lock and the hosts' facts. This file is the table of contents.
package phases

import "github.com/kubewright/kubewright/engine"

// Up is everything between bare hosts and a ready cluster, in order. The phases of one host follow one another; between
// hosts only After holds.
func Up() []engine.Phase[Input] {
	return []engine.Phase[Input]{
		packages,
		hostBasics,
		authorities,
		registry,
		nfs, // before anything that mounts, so that reset takes it away after
		docker,
		binaries,
		containerd,
		dockerCRI,
		controlPlaneCerts,
		nodeCerts,
		images,
		controlPlaneKubelet,
		controlPlane,
		controllers,
		clusterObjects,
		workerKubelet,
		tools,
		clusterReady,
		retire,
		dns,
		mountable,
		addon,
	}
}
