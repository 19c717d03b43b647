package nodeimage

import (
	"path/filepath"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/gobuild"
)

// Kubernetes is the version of everything that Kubernetes itself publishes.
const Kubernetes = "v1.37.2"

// versionPackage holds the version that Kubernetes programs report; kubeadm
// refuses to work without one.
const versionPackage = "k8s.io/component-base/version"

// kubernetesVariables are the linker's settings for Kubernetes programs. The
// date is any fixed one, so that equal sources give equal files.
var kubernetesVariables = []string{
	versionPackage + ".gitVersion=" + Kubernetes,
	versionPackage + ".gitMajor=1",
	versionPackage + ".gitMinor=37",
	versionPackage + ".gitTreeState=clean",
	versionPackage + ".gitCommit=0000000000000000000000000000000000000000",
	versionPackage + ".buildDate=2026-01-01T00:00:00Z",
}

// Components are the programs of the node image. modules is the folder of
// their modules. The longest build comes first.
func Components(modules string) []gobuild.Program {
	const (
		containerd = "github.com/containerd/containerd/v2/cmd/"
		cni        = "github.com/containernetworking/plugins/plugins/"
	)
	programs := []gobuild.Program{
		{Name: "kubernetes", Module: "kubernetes", Package: ".", Variables: kubernetesVariables},
		{Name: "containerd", Module: "containerd", Package: containerd + "containerd"},
		{Name: "ctr", Module: "containerd", Package: containerd + "ctr"},
		{Name: "containerd-shim-runc-v2", Module: "containerd", Package: containerd + "containerd-shim-runc-v2"},
		{Name: "etcd", Module: "etcd", Package: "."},
		{Name: "coredns", Module: "coredns", Package: "."},
		{Name: "local-path-provisioner", Module: "localpath", Package: "github.com/rancher/local-path-provisioner"},
		{Name: "ptp", Module: "cni", Package: cni + "main/ptp"},
		{Name: "loopback", Module: "cni", Package: cni + "main/loopback"},
		{Name: "host-local", Module: "cni", Package: cni + "ipam/host-local"},
		{Name: "portmap", Module: "cni", Package: cni + "meta/portmap"},
		Pause(modules),
	}
	for i := range programs {
		programs[i].OS = "linux"
		if programs[i].Module == "containerd" {
			programs[i].Tags = []string{"no_btrfs", "no_devmapper", "no_zfs", "no_aufs"}
		}
		if !filepath.IsAbs(programs[i].Module) {
			programs[i].Module = filepath.Join(modules, programs[i].Module)
		}
	}
	return programs
}

// Pause is the program that holds a pod's namespaces. With an argument it
// ends at once, which makes it a probe of container engines as well.
func Pause(modules string) gobuild.Program {
	return gobuild.Program{Name: "pause", Module: filepath.Join(modules, "pause"), Package: ".", OS: "linux"}
}

// Kubectl is the client for the host, of the same version as the cluster.
func Kubectl(modules string) gobuild.Program {
	return gobuild.Program{
		Name: "kubectl", Module: filepath.Join(modules, "kubernetes"), Package: "./kubectl",
		Variables: kubernetesVariables,
	}
}
