// Package bulk loads much data into a Redis master as fast as it takes it, and measures how far its replicas fall behind.
package bulk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// lookEvery is the pause between two looks at the servers.
	lookEvery = 20 * time.Millisecond
	// answerTime bounds one look.
	answerTime = time.Second
	// batchTime bounds one batch of a connection. A client that gives up sooner would measure its own patience.
	batchTime = time.Minute
)

// Config is what a load needs to know.
type Config struct {
	// Address is the host:port of the master Service.
	Address string
	// Servers are the host:port of all servers.
	Servers []string
	// Password of Redis, empty for none.
	Password string
	// Requests is how many values are set, Size how many bytes each has.
	Requests, Size int
	// Connections is how many set values at once, Pipeline how many values each sends before it waits for the answers.
	Connections, Pipeline int
	// Prefix of all keys; the number of the value follows.
	Prefix string
}

// Report is what a load saw.
type Report struct {
	// Acknowledged, Refused and Failed count values: those that Redis confirmed, refused with an error, and did not answer.
	Acknowledged int64 `json:"acknowledged"`
	Refused      int64 `json:"refused"`
	Failed       int64 `json:"failed"`
	// Seconds is how long the load took.
	Seconds float64 `json:"seconds"`
	// LongestMS is the longest time that one batch waited for its answers.
	LongestMS float64 `json:"longestMilliseconds"`
	// GreatestLag is how many bytes the foremost replica was behind at most.
	GreatestLag int64 `json:"greatestLagBytes"`
	// AloneMS is for how long no replica was connected.
	AloneMS float64 `json:"aloneMilliseconds"`
	// Copies is how many full copies the master began.
	Copies int64 `json:"fullCopies"`
	// Refusal is the first error with which a value was refused.
	Refusal string `json:"refusal,omitempty"`
}

// Run loads, and looks at the servers meanwhile.
func Run(ctx context.Context, c Config) (Report, error) {
	if c.Requests < 1 || c.Connections < 1 || c.Pipeline < 1 || len(c.Servers) == 0 {
		return Report{}, errors.New("a load needs requests, connections, a pipeline and the addresses of the servers")
	}
	watched := newWatch(c)
	defer watched.close()
	if err := watched.look(ctx); err != nil {
		return Report{}, err
	}
	looking, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { watched.follow(looking); close(ended) }()
	began, l := time.Now(), &load{config: c, value: strings.Repeat("x", c.Size)}
	var connections sync.WaitGroup
	for range c.Connections {
		connections.Go(func() { l.connection(ctx) })
	}
	connections.Wait()
	took := time.Since(began)
	cancel()
	<-ended
	r := watched.report
	r.Acknowledged, r.Refused, r.Failed, r.Seconds = l.acknowledged.Load(), l.refused.Load(), l.failed.Load(), took.Seconds()
	r.LongestMS = float64(l.longest.Load()) / float64(time.Millisecond)
	if first := l.refusal.Load(); first != nil {
		r.Refusal = *first
	}
	return r, ctx.Err()
}

// load is what the connections share.
type load struct {
	config                                       Config
	value                                        string
	next, acknowledged, refused, failed, longest atomic.Int64
	refusal                                      atomic.Pointer[string]
}

// connection sets values until none is left.
func (l *load) connection(ctx context.Context) {
	client := connect(l.config.Address, l.config.Password, batchTime)
	defer client.Close()
	for ctx.Err() == nil {
		last := l.next.Add(int64(l.config.Pipeline))
		first := last - int64(l.config.Pipeline)
		last = min(last, int64(l.config.Requests))
		if first >= last {
			return
		}
		began := time.Now()
		answers, _ := client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for number := first; number < last; number++ {
				p.Set(ctx, l.config.Prefix+strconv.FormatInt(number, 10), l.value, 0)
			}
			return nil
		})
		l.count(answers, time.Since(began))
	}
}

func (l *load) count(answers []redis.Cmder, took time.Duration) {
	for before := l.longest.Load(); int64(took) > before && !l.longest.CompareAndSwap(before, int64(took)); {
		before = l.longest.Load()
	}
	for _, answer := range answers {
		var refusal redis.Error
		switch err := answer.Err(); {
		case err == nil:
			l.acknowledged.Add(1)
		case errors.As(err, &refusal):
			l.refused.Add(1)
			text := err.Error()
			l.refusal.CompareAndSwap(nil, &text)
		default:
			l.failed.Add(1)
		}
	}
}

// watch looks at the servers.
type watch struct {
	clients []*redis.Client
	report  Report
	lookAt  time.Time
	copies  int64 // that the master had begun at the first look
}

func newWatch(c Config) *watch {
	w := &watch{}
	for _, address := range c.Servers {
		w.clients = append(w.clients, connect(address, c.Password, answerTime))
	}
	return w
}

func (w *watch) close() {
	for _, client := range w.clients {
		_ = client.Close()
	}
}

func (w *watch) follow(ctx context.Context) {
	for ctx.Err() == nil {
		_ = w.look(ctx) // a server that does not answer is looked at again
		select {
		case <-ctx.Done():
		case <-time.After(lookEvery):
		}
	}
}

// look asks all servers at once.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	answers, asked := make([]map[string]string, len(w.clients)), sync.WaitGroup{}
	for i, client := range w.clients {
		asked.Go(func() {
			if text, err := client.Info(ctx, "replication", "stats").Result(); err == nil {
				answers[i] = fields(text)
			}
		})
	}
	asked.Wait()
	master, offsets := roles(answers)
	if master == nil {
		return errors.New("no server answers that it is master")
	}
	copies := number(master, "sync_full")
	if w.lookAt.IsZero() {
		w.copies = copies
	}
	w.report.Copies = copies - w.copies
	if len(offsets) == 0 {
		if !w.lookAt.IsZero() {
			w.report.AloneMS += float64(time.Since(w.lookAt)) / float64(time.Millisecond)
		}
	} else {
		w.report.GreatestLag = max(w.report.GreatestLag, number(master, "master_repl_offset")-slices.Max(offsets))
	}
	w.lookAt = time.Now()
	return nil
}

// roles gives the master's answer, and the offsets of the replicas that are connected to a master.
func roles(answers []map[string]string) (master map[string]string, offsets []int64) {
	for _, answer := range answers {
		switch {
		case answer["role"] == "master":
			master = answer
		case answer["master_link_status"] == "up":
			offsets = append(offsets, number(answer, "slave_repl_offset"))
		}
	}
	return master, offsets
}

// fields reads the text of INFO.
func fields(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			found[name] = value
		}
	}
	return found
}

func number(fields map[string]string, name string) int64 {
	n, _ := strconv.ParseInt(fields[name], 10, 64)
	return n
}

func connect(address, password string, patience time.Duration) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: address, Password: password, Protocol: 2, PoolSize: 1, MaxRetries: -1, DisableIdentity: true,
		ReadTimeout: patience, WriteTimeout: patience})
}

// String tells a user what was seen.
func (r Report) String() string {
	return fmt.Sprintf("%d values in %.1f s (%.0f a second), %d refused, %d failed, longest wait %.0f ms, greatest lag %.1f MiB, %.1f s without a replica, %d full copies",
		r.Acknowledged, r.Seconds, float64(r.Acknowledged)/r.Seconds, r.Refused, r.Failed, r.LongestMS, float64(r.GreatestLag)/(1<<20), r.AloneMS/1000, r.Copies)
}
