package loopback

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// fillUp writes values to a master until it refuses one, reads in between, and gives the number of values.
func (c *cluster) fillUp(master *pod) int {
	c.t.Helper()
	client, value := c.client(master), strings.Repeat("x", 64<<10)
	for i := range 4096 {
		key := "full:" + strconv.Itoa(i)
		err := client.Set(c.t.Context(), key, value, 0).Err()
		if err != nil && strings.HasPrefix(err.Error(), "OOM ") {
			return i
		}
		if err != nil {
			c.t.Fatalf("value %d: %v", i, err)
		}
		if found, err := client.Get(c.t.Context(), key).Result(); err != nil || found != value {
			c.t.Fatalf("value %d cannot be read back: %v", i, err)
		}
	}
	c.t.Fatal("the master took 256 MiB")
	return 0
}

// sizedAs says whether a Redis has the sizes that follow from a memory limit.
func (c *cluster) sizedAs(p *pod, maxmemory, backlog string) error {
	values, err := c.client(p).ConfigGet(c.t.Context(), "*").Result()
	if err == nil && (values["maxmemory"] != maxmemory || values["repl-backlog-size"] != backlog) {
		err = fmt.Errorf("%s has maxmemory %s and a backlog of %s, want %s and %s", p.name, values["maxmemory"], values["repl-backlog-size"], maxmemory, backlog)
	}
	return err
}

// A full master refuses writes, and nobody replaces it for that.
func TestRedisFollowsTheMemoryLimitOfItsPod(t *testing.T) {
	t.Parallel()
	// Three quarters of a limit of 80 MiB stay free, and 64 MiB of one of 160 MiB.
	c := start(t, options{environment: map[string]string{"LAUNCHER_MEMORY_LIMIT_BYTES": strconv.Itoa(80 << 20)}})
	master := c.converge()
	for _, p := range c.servers() {
		if err := c.sizedAs(p, "20971520", "5242880"); err != nil {
			t.Error(err)
		}
	}
	first := c.fillUp(master)
	if again := c.fillUp(master); again > 0 {
		t.Errorf("a full master takes %d values", again)
	}
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s", master.name, now.name)
	}

	for _, p := range c.servers() {
		if err := c.api.UpdatePod(p.name, func(pod *corev1.Pod) {
			pod.Status.ContainerStatuses[0].Resources = &corev1.ResourceRequirements{
				Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("160Mi")},
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range c.servers() {
		eventually(t, settle, "the sizes of the new limit in "+p.name, func() error { return c.sizedAs(p, "100663296", "10485760") })
	}
	if second := c.fillUp(master); second < 3*first {
		t.Errorf("%d values fitted before, and %d do now", first, second)
	}
	slave := c.slavesOf(master)[0]
	slave.killRedis()
	eventually(t, settle, "the sizes of the new limit in a Redis that has started later", func() error { return c.sizedAs(slave, "100663296", "10485760") })
	if now := c.converge(); now != master {
		t.Errorf("the master moved from %s to %s", master.name, now.name)
	}
	c.requireNoCrash()
}
