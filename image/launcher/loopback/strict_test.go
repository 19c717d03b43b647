package loopback

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// strict is a client that opens a connection for each command. No command may fail.
type strict struct {
	cancel func()
	ended  chan struct{}

	mu       sync.Mutex
	done     int
	failures []error
}

// strictly starts a client with a password, which writes to the master, or reads from slaves.
func (c *cluster) strictly(role, password string) *strict {
	ctx, cancel := context.WithCancel(context.Background())
	s := &strict{cancel: cancel, ended: make(chan struct{})}
	c.t.Cleanup(func() { cancel(); <-s.ended })
	go func() {
		defer close(s.ended)
		for number := 0; ctx.Err() == nil; number++ {
			err := c.once(role, password, number)
			s.mu.Lock()
			if s.done++; err != nil {
				s.failures = append(s.failures, fmt.Errorf("%s command %d at %s: %w", role, number, time.Now().Format("15:04:05.000"), err))
			}
			s.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return s
}

func (c *cluster) once(role, password string, number int) error {
	address, err := c.backend(role, "6379")
	if err != nil {
		return err
	}
	o := clientOptions(address, password)
	o.DialTimeout, o.ReadTimeout = 3*time.Second, 3*time.Second // the machine may be busy
	client := redis.NewClient(o)
	defer client.Close()
	if role == "master" {
		return client.Set(context.Background(), "strict"+password, number, 0).Err()
	}
	return client.Get(context.Background(), "strict").Err()
}

// requireNoFailure ends the client.
func (s *strict) requireNoFailure(t *testing.T, what string) {
	t.Helper()
	s.cancel()
	<-s.ended
	var failures []error
	for _, err := range s.failures {
		if !strings.HasSuffix(err.Error(), ": "+redis.Nil.Error()) {
			failures = append(failures, err)
		}
	}
	if s.done == 0 || len(failures) > 0 {
		t.Errorf("the client with %s: %d commands, %d failed, the first: %v", what, s.done, len(failures), failures[:min(3, len(failures))])
		return
	}
	t.Logf("the client with %s: %d commands, none failed", what, s.done)
}
