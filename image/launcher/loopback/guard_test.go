package loopback

import (
	"context"
	"strings"
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
// both were still labelled master afterwards. A pod that passes connections on
// to the other is no second master.
func bothAccept(c *cluster, a, b *pod) bool {
	first, second, third := accepts(c, a), accepts(c, b), accepts(c, a)
	if first == "" || second == "" || third == "" || first == second || second == third {
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
// leaves the data and the replication offset alone. It returns the run_id of
// the redis that accepted it at the pod's address, or "".
func accepts(c *cluster, p *pod) string {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	client := redis.NewClient(c.clientOptions(p.address()))
	defer client.Close()
	var accepted *redis.IntCmd
	var server *redis.StringCmd
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		accepted, server = pipe.Del(ctx, "loopback:no such key"), pipe.Info(ctx, "server")
		return nil
	})
	if err != nil || accepted.Err() != nil {
		return ""
	}
	_, after, _ := strings.Cut(server.Val(), "run_id:")
	id, _, _ := strings.Cut(after, "\r")
	return id
}
