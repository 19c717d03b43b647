package kindcluster

import (
	"fmt"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// podSubnet is kind's default; the routes and rules of a local node image
// need it by name.
const podSubnet = "10.244.0.0/16"

// Host is what a cluster's configuration has to take into account.
type Host struct {
	// CgroupV1 is a host whose controllers are on cgroup v1 (also hybrid).
	CgroupV1 bool
	// RestrictedOOM is a host that may not lower out-of-memory scores.
	RestrictedOOM bool
}

// Config describes the cluster: one control plane and the given number of
// workers, all of one image. ownNetwork leaves the pod network to this tool.
func Config(name, image string, workers int, host Host, ownNetwork bool) *v1alpha4.Cluster {
	cluster := &v1alpha4.Cluster{Name: name}
	cluster.Nodes = append(cluster.Nodes, v1alpha4.Node{Role: v1alpha4.ControlPlaneRole, Image: image})
	for range workers {
		cluster.Nodes = append(cluster.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole, Image: image})
	}
	cluster.Networking.PodSubnet = podSubnet
	cluster.Networking.KubeProxyMode = v1alpha4.IPTablesProxyMode
	cluster.Networking.DisableDefaultCNI = ownNetwork
	if patch := kubeletPatch(host); patch != "" {
		cluster.KubeadmConfigPatches = append(cluster.KubeadmConfigPatches, patch)
	}
	if host.RestrictedOOM {
		cluster.ContainerdConfigPatches = append(cluster.ContainerdConfigPatches,
			"[plugins.\"io.containerd.grpc.v1.cri\"]\n  restrict_oom_score_adj = true\n")
	}
	return cluster
}

// kubeletPatch lets the kubelet run on hosts that its defaults refuse.
func kubeletPatch(host Host) string {
	if !host.CgroupV1 && !host.RestrictedOOM {
		return ""
	}
	patch := "kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n"
	if host.CgroupV1 {
		patch += "failCgroupV1: false\n"
	}
	if host.RestrictedOOM {
		// The only setting that makes the kubelet accept that it may not
		// change its own score.
		patch += "featureGates:\n  KubeletInUserNamespace: true\n"
	}
	return patch
}

// conflist is the pod network of one node of a local image: a pair of
// interfaces per pod, addresses from the node's range.
func conflist(podCIDR string) string {
	return fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": [[{"subnet": %q}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`, podCIDR)
}

// nodeNetwork is what one node knows of another.
type nodeNetwork struct {
	name, podCIDR, internalIP string
}

// networkScript gives a node its pod network; the node runs it again whenever
// it starts.
func networkScript(self nodeNetwork, all []nodeNetwork) string {
	script := "# Written by the redis-ha cluster tool: the pod network of this node.\nset -eu\n"
	for _, other := range all {
		if other.name != self.name {
			script += fmt.Sprintf("ip route replace %s via %s\n", other.podCIDR, other.internalIP)
		}
	}
	// Traffic that leaves the pods' network takes the node's address: nothing
	// outside knows a way back to a pod.
	rule := fmt.Sprintf("POSTROUTING -s %s ! -d %s -j MASQUERADE", podSubnet, podSubnet)
	script += fmt.Sprintf("iptables -w -t nat -C %s 2>/dev/null || iptables -w -t nat -A %s\n", rule, rule)
	script += "mkdir -p /etc/cni/net.d\n"
	script += fmt.Sprintf("cat >/etc/cni/net.d/10-pods.conflist <<'EOF'\n%sEOF\n", conflist(self.podCIDR))
	return script
}
