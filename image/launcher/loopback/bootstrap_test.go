package loopback

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// requireNoCrash fails the test when a container ended that the test did not end.
func (c *cluster) requireNoCrash() {
	c.t.Helper()
	for _, p := range c.all() {
		p.mu.Lock()
		if len(p.crashes) > 0 {
			c.t.Errorf("the launcher of %s ended by itself with codes %v", p.name, p.crashes)
		}
		p.mu.Unlock()
	}
}

func TestOldestServerBecomesMasterOfAnEmptyRelease(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	var servers []*pod
	for range 3 {
		servers = append(servers, c.addServer())
	}
	for range 3 {
		c.addSentinel().run()
	}
	for i := len(servers) - 1; i >= 0; i-- {
		servers[i].run()
	}
	if master := c.converge(); master != servers[0] {
		t.Errorf("the master is %s, not %s, the oldest of three servers without data", master.name, servers[0].name)
	}
	c.requireNoCrash()
}

func TestReleaseBootstrapsWhenServersStartLongBeforeSentinels(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{noPassword: true})
	for range 3 {
		c.addServer().run()
	}
	time.Sleep(4 * time.Second) // the claim is about a delay
	for range 3 {
		c.addSentinel().run()
	}
	c.converge()
	c.requireNoCrash()
}

func TestReleaseBootstrapsWhenSentinelsStartLongBeforeServers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{noPersistence: true})
	for range 3 {
		c.addSentinel().run()
	}
	time.Sleep(4 * time.Second) // the claim is about a delay
	for range 3 {
		c.addServer().run()
	}
	c.converge()
	c.requireNoCrash()
}

// pending takes address and phase from a pod that has not run yet, as long as
// the kubelet waits for its volume, and gives them back.
func (p *pod) pending(waits bool) {
	p.cluster.t.Helper()
	err := p.cluster.api.UpdatePod(p.name, func(pod *corev1.Pod) {
		pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodPending, "", nil
		if !waits {
			pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, p.ip, []corev1.PodIP{{IP: p.ip}}
		}
	})
	if err != nil {
		p.cluster.t.Fatal(err)
	}
}

// A storage class may take its time for each volume.
func TestFirstServerOfANewReleaseDoesNotWaitForTheVolumesOfTheOthers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	var others []*pod
	for range 2 {
		p := c.addServer()
		p.pending(true)
		others = append(others, p)
	}
	first := c.addServer() // the youngest
	first.run()
	for range 3 {
		c.addSentinel().run()
	}
	eventually(t, 10*time.Second, "the server that runs to be master", func() error {
		return c.client(first).Set(t.Context(), "early", "bird", 0).Err()
	})
	for _, p := range others {
		p.pending(false)
		p.run()
	}
	if master := c.converge(); master != first {
		t.Errorf("%s became master after %s", master.name, first.name)
	}
	for _, p := range c.servers() {
		if value, err := c.client(p).Get(t.Context(), "early").Result(); err != nil || value != "bird" {
			t.Errorf("%s has %q, %v", p.name, value, err)
		}
	}
	c.requireNoCrash()
}

func TestServerThatStartsLateJoinsAsSlave(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	late := c.addServer() // the oldest, so that only lateness keeps it from being master
	for range 2 {
		c.addServer().run()
	}
	for range 3 {
		c.addSentinel().run()
	}
	eventually(t, settle, "a master although one server is missing", func() error {
		_, err := c.masterPod()
		return err
	})
	early, err := c.masterPod()
	if err != nil {
		t.Fatal(err)
	}
	late.run()
	if master := c.converge(); master != early {
		t.Errorf("%s is master; %s was, before the late server came", master.name, early.name)
	}
	c.requireNoCrash()
}

func TestReleaseBootstrapsInRandomStartOrders(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			c := newCluster(t, options{noPersistence: seed%2 == 1})
			var pods []*pod
			for range 3 {
				pods = append(pods, c.addServer(), c.addSentinel())
			}
			random.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
			for _, p := range pods {
				p.run()
				time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond) // the delays are the order
			}
			c.converge()
			c.requireNoCrash()
		})
	}
}

func TestReleaseOfOneServerAndOneSentinelWorks(t *testing.T) {
	t.Parallel()
	c := start(t, options{servers: 1, sentinels: 1})
	c.fill(t, 10)
	server := c.servers()[0]
	server.kill()
	eventually(t, settle, "the only server to be back with its data", func() error {
		if err := c.checkSettled(); err != nil {
			return err
		}
		n, err := c.info(server)
		if err == nil && n.keys != 10 {
			err = fmt.Errorf("%d of 10 keys", n.keys)
		}
		return err
	})
}
