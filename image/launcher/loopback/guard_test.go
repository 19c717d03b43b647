package loopback

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// guard watches the labels for the whole test and fails it when two pods
// labelled master accept writes at the same time.
func guard(c *cluster) {
	done := make(chan struct{})
	ended := make(chan struct{})
	c.t.Cleanup(func() { close(done); <-ended })
	go func() {
		defer close(ended)
		for {
			changed := c.api.Changed()
			masters := c.labelled("master")
			if len(masters) < 2 {
				select {
				case <-changed:
					continue
				case <-done:
					return
				}
			}
			if bothAccept(c, masters[0], masters[1]) {
				c.t.Errorf("%s and %s, both labelled master, accepted writes at the same time", masters[0].name, masters[1].name)
				return
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-done:
				return
			}
		}
	}()
}

// bothAccept is true when b accepted a write between two that a accepted, and
// both were still labelled master afterwards.
func bothAccept(c *cluster, a, b *pod) bool {
	if !accepts(c, a) || !accepts(c, b) || !accepts(c, a) {
		return false
	}
	labelled := 0
	for _, p := range c.labelled("master") {
		if p == a || p == b {
			labelled++
		}
	}
	return labelled == 2
}

// accepts asks for a write that changes nothing: it is refused wherever a
// write would be (READONLY, NOREPLICAS), waits while writes are paused, and
// leaves the data and the replication offset alone.
func accepts(c *cluster, p *pod) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	client := redis.NewClient(clientOptions(p.address(), c.password))
	defer client.Close()
	return client.Del(ctx, "loopback:no such key").Err() == nil
}
