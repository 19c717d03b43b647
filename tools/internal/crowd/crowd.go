// Package crowd is many clients that each write now and then, and tells what a fault cost each of them.
package crowd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// dialTime and answerTime are the defaults of go-redis.
	dialTime, answerTime = 5 * time.Second, 3 * time.Second
	// retryPause is the mean pause between two attempts.
	retryPause = 20 * time.Millisecond
	// keyLife removes the keys of a crowd that has ended.
	keyLife = time.Hour
)

// Config is what a crowd needs to know.
type Config struct {
	// Address is the host:port of the master Service.
	Address string
	// Password of Redis, empty for none.
	Password string
	// Clients is how many there are; Every is the time between two writes of one.
	Clients int
	Every   time.Duration
	// Prefix of all keys; the number of the client follows.
	Prefix string
	// Ready is called when every client has written once.
	Ready func()
}

// Report is what the clients saw from the moment in which all of them had written.
type Report struct {
	Clients int `json:"clients"`
	// MedianGapMS, P95GapMS and MaxGapMS are of the longest time that a client had no acknowledged write, among all clients.
	MedianGapMS float64 `json:"medianGapMilliseconds"`
	P95GapMS    float64 `json:"p95GapMilliseconds"`
	MaxGapMS    float64 `json:"maxGapMilliseconds"`
	// Ended is how many clients got an error on a connection that had written before. The client library notices most ends by itself
	// before the next write, and connects anew. Timeouts is how many attempts had no answer in time, Failures how many failed in another way.
	Ended    int `json:"ended"`
	Timeouts int `json:"timeouts"`
	Failures int `json:"failures"`
}

// client is one of the crowd.
type client struct {
	config    Config
	number    int
	mu        sync.Mutex
	wrote     bool // on the present connection
	last      time.Time
	longest   time.Duration
	ended     int
	timeouts  int
	failures  int
	firstTime func()
}

// Run writes until ctx ends.
func Run(ctx context.Context, c Config) (Report, error) {
	if c.Clients < 1 || c.Every <= 0 {
		return Report{}, errors.New("a crowd needs clients and a time between their writes")
	}
	var ready, all sync.WaitGroup
	ready.Add(c.Clients)
	clients := make([]*client, c.Clients)
	for i := range clients {
		clients[i] = &client{config: c, number: i, firstTime: sync.OnceFunc(ready.Done)}
		all.Go(func() { clients[i].run(ctx) })
	}
	everybody := make(chan struct{})
	go func() { ready.Wait(); close(everybody) }()
	select {
	case <-ctx.Done():
		all.Wait()
		return Report{}, fmt.Errorf("not every client has written: %w", ctx.Err())
	case <-everybody:
	}
	for _, one := range clients {
		one.begin()
	}
	if c.Ready != nil {
		c.Ready()
	}
	all.Wait()
	return report(clients, time.Now()), nil
}

// begin forgets what was before every client had written.
func (c *client) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.longest, c.ended, c.timeouts, c.failures, c.last = 0, 0, 0, 0, time.Now()
}

func (c *client) run(ctx context.Context) {
	var connection *redis.Client
	drop := func() {
		if connection != nil {
			_ = connection.Close()
			connection = nil
		}
	}
	defer drop()
	rest(ctx, rand.N(c.config.Every)) // they do not write in step
	for ctx.Err() == nil {
		if connection == nil {
			connection = redis.NewClient(&redis.Options{Addr: c.config.Address, Password: c.config.Password, PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
				DialTimeout: dialTime, ReadTimeout: answerTime, WriteTimeout: answerTime, DisableIdentity: true, Protocol: 2})
		}
		err := connection.Set(ctx, c.config.Prefix+strconv.Itoa(c.number), time.Now().UnixNano(), keyLife).Err()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.failed(err)
			drop()
			rest(ctx, retryPause/2+rand.N(retryPause))
			continue
		}
		c.acknowledged(time.Now())
		rest(ctx, c.config.Every)
	}
}

func rest(ctx context.Context, span time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(span):
	}
}

func (c *client) acknowledged(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() {
		c.longest = max(c.longest, at.Sub(c.last))
	}
	c.last, c.wrote = at, true
	c.firstTime()
}

func (c *client) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout():
		c.timeouts++
	case !c.wrote:
		c.failures++
	}
	if c.wrote {
		c.ended++
	}
	c.wrote = false
}

// report sums up; a client that has no answer yet has been waiting until now.
func report(clients []*client, now time.Time) Report {
	r := Report{Clients: len(clients)}
	var gaps []time.Duration
	for _, c := range clients {
		gaps = append(gaps, max(c.longest, now.Sub(c.last)))
		r.Ended, r.Timeouts, r.Failures = r.Ended+c.ended, r.Timeouts+c.timeouts, r.Failures+c.failures
	}
	slices.Sort(gaps)
	at := func(share float64) float64 {
		return float64(gaps[min(len(gaps)-1, int(share*float64(len(gaps))))]) / float64(time.Millisecond)
	}
	r.MedianGapMS, r.P95GapMS, r.MaxGapMS = at(0.5), at(0.95), at(1)
	return r
}

// String tells a user what was seen.
func (r Report) String() string {
	return fmt.Sprintf("%d clients: longest gap %.0f ms (median), %.0f ms (p95), %.0f ms (at most); %d errors on a connection, %d time-outs, %d other failures",
		r.Clients, r.MedianGapMS, r.P95GapMS, r.MaxGapMS, r.Ended, r.Timeouts, r.Failures)
}
