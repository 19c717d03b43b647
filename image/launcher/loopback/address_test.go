package loopback

import (
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// readdress gives a pod that does not run another address, as the kubelet does
// after its node was started again: the volume stays, what was in memory goes.
func (p *pod) readdress() {
	t := p.cluster.t
	t.Helper()
	p.cluster.forgetClient(p)
	p.ip = p.cluster.network.address()
	err := p.cluster.api.UpdatePod(p.name, func(pod *corev1.Pod) {
		pod.Status.PodIP, pod.Status.PodIPs = p.ip, []corev1.PodIP{{IP: p.ip}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(p.runDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.runDir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// Every node was off. The labels and the record name addresses that nobody has
// any more, and the sentinels remember nothing.
func TestAllPodsThatComeBackAtOtherAddressesKeepTheData(t *testing.T) {
	t.Parallel()
	c := start(t, options{})
	c.fill(t, 500)
	c.converge()
	c.killAll()
	for _, p := range c.all() {
		p.readdress()
	}
	c.runAll()
	c.converge()
	c.requireKeys(500)
	for _, p := range c.servers() {
		if err := c.hasKeys(p, 500); err != nil {
			t.Error(err)
		}
	}
}
