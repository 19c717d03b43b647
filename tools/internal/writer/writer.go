// Package writer is a client that writes numbered keys to Redis without a
// pause, keeps account of what was acknowledged and when, and reads all of it
// back at the end.
package writer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// attemptTime bounds one connection attempt and one command: a client
	// that waits longer would measure its own patience.
	attemptTime = 300 * time.Millisecond
	// waitTime bounds one WAIT; it is below attemptTime, so that Redis answers.
	waitTime = 200 * time.Millisecond
	// retryPause separates two attempts.
	retryPause = 5 * time.Millisecond
	// verifyTime bounds the reading back.
	verifyTime = 30 * time.Second
	// verifyBatch is the number of keys that are read with one command.
	verifyBatch = 500
	// keyLife removes the keys of a writer that was killed before it did.
	keyLife = time.Hour
	// gapFrom is the shortest time between two confirmations that is reported
	// as a gap of its own.
	gapFrom = 100 * time.Millisecond
)

// Config is what a writer needs to know.
type Config struct {
	// Address is the host:port of the master Service, or of the sentinels' if Master is set.
	Address string
	// Master is the name under which the sentinels know the master. With it the writer is a client with go-redis' default settings that asks
	// the sentinels for the master; empty for a plain client of the master Service.
	Master string
	// Password of Redis, empty for none.
	Password string
	// TLS encrypts the connections; nil: they are plain.
	TLS *tls.Config
	// Prefix of all keys; the number of the write follows.
	Prefix string
	// Duration is how long to write at most.
	Duration time.Duration
	// Stop ends the writing when it is closed; nil for never.
	Stop <-chan struct{}
	// Interval is the pause after an acknowledged write.
	Interval time.Duration
	// Replicas is how many replicas must have a write before it counts as
	// acknowledged (WAIT); 0 for none.
	Replicas int
	// Started is called after the first acknowledged write.
	Started func()
	// Progress is called about every ProgressEvery while writing, if it is set.
	Progress      func(Progress)
	ProgressEvery time.Duration
}

// Progress is how far a writer is.
type Progress struct {
	// Acknowledged is the number of writes that Redis has confirmed so far.
	Acknowledged int `json:"acknowledged"`
	// LastFailure is the latest failed attempt since the last line, if any.
	LastFailure string `json:"lastFailure,omitempty"`
}

// Gap is a pause between two confirmations.
type Gap struct {
	// From is the time of the last confirmation before it.
	From time.Time `json:"from"`
	// Milliseconds is its length.
	Milliseconds int64 `json:"milliseconds"`
}

// Report is what a writer saw.
type Report struct {
	// Acknowledged is the number of writes that Redis confirmed.
	Acknowledged int `json:"acknowledged"`
	// Lost is how many of them were not there, or different, at the end.
	Lost int `json:"lost"`
	// LongestGapMilliseconds is the longest time between two confirmations.
	LongestGapMilliseconds int64 `json:"longestGapMilliseconds"`
	// Gaps are all times between two confirmations of 100 ms and more.
	Gaps []Gap `json:"gaps,omitempty"`
	// FirstLostAt and LastLostAt are when Redis had confirmed the first and the last of the lost writes.
	FirstLostAt *time.Time `json:"firstLostAt,omitempty"`
	LastLostAt  *time.Time `json:"lastLostAt,omitempty"`
	// FirstAt is when Redis confirmed the first write.
	FirstAt *time.Time `json:"firstAt,omitempty"`
	// Failures is the number of failed attempts.
	Failures int `json:"failures"`
	// FailureKinds counts them by message.
	FailureKinds map[string]int `json:"failureKinds,omitempty"`
}

// Text tells a person what the client saw.
func (r Report) Text() string {
	text := fmt.Sprintf("longest gap between two acknowledged writes: %.3f s\nacknowledged writes: %d\nlost of these when read back: %d\nfailed attempts, repeated: %d",
		float64(r.LongestGapMilliseconds)/1000, r.Acknowledged, r.Lost, r.Failures)
	for kind, count := range r.FailureKinds {
		text += fmt.Sprintf("\n  %d x %s", count, kind)
	}
	return text
}

// Run writes, reads back and removes the keys.
func Run(ctx context.Context, config Config) (Report, error) {
	w := &writer{config: config, report: Report{FailureKinds: map[string]int{}}}
	defer func() { w.disconnect() }()
	w.write(ctx)
	if w.report.Acknowledged == 0 {
		return w.report, fmt.Errorf("no write to %s was acknowledged in %s: %v", config.Address, config.Duration, w.report.FailureKinds)
	}
	return w.report, w.verify(ctx)
}

// writer is one client with at most one connection.
type writer struct {
	config Config
	client *redis.Client
	report Report
	// confirmed holds the time of each confirmation.
	confirmed   []time.Time
	lastFailure string
}

// connect makes a new plain client for each connection: a pool would wait for a
// second after a failed attempt, which is its own delay and not the server's.
func (w *writer) connect() *redis.Client {
	switch {
	case w.client != nil:
	case w.config.Master != "":
		w.client = redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: w.config.Master, SentinelAddrs: []string{w.config.Address},
			Password: w.config.Password, SentinelPassword: w.config.Password, TLSConfig: w.config.TLS,
		})
	default:
		w.client = redis.NewClient(&redis.Options{
			Addr: w.config.Address, Password: w.config.Password, TLSConfig: w.config.TLS, PoolSize: 1, MaxRetries: -1,
			DialTimeout: attemptTime, ReadTimeout: attemptTime, WriteTimeout: attemptTime,
			DialerRetries: 1, DisableIdentity: true, Protocol: 2,
		})
	}
	return w.client
}

// retry prepares the next attempt. A client that asks sentinels connects again by itself.
func (w *writer) retry() {
	if w.config.Master == "" {
		w.disconnect()
	}
	time.Sleep(retryPause)
}

func (w *writer) disconnect() {
	if w.client != nil {
		_ = w.client.Close()
		w.client = nil
	}
}

// write repeats each write until it is acknowledged: the same key gets the
// same value, so that an attempt whose answer was lost does no harm.
func (w *writer) write(ctx context.Context) {
	end := time.Now().Add(w.config.Duration)
	told := time.Now()
	for time.Now().Before(end) && ctx.Err() == nil && !w.stopped() {
		if w.config.Progress != nil && time.Since(told) >= w.config.ProgressEvery {
			w.config.Progress(Progress{Acknowledged: w.report.Acknowledged, LastFailure: w.lastFailure})
			told, w.lastFailure = time.Now(), ""
		}
		number := w.report.Acknowledged
		if err := w.set(ctx, number); err != nil {
			w.failed(err)
			continue
		}
		w.acknowledged()
		if number == 0 && w.config.Started != nil {
			w.config.Started()
		}
		time.Sleep(w.config.Interval)
	}
}

// set writes one key, and waits for the replicas if that is wanted.
func (w *writer) set(ctx context.Context, number int) error {
	if err := w.connect().Set(ctx, w.key(number), number, keyLife).Err(); err != nil || w.config.Replicas == 0 {
		return err
	}
	// Client.Wait would be patient for 10 s more with a server that says nothing.
	have, err := w.connect().Do(ctx, "wait", w.config.Replicas, waitTime.Milliseconds()).Int()
	if err == nil && have < w.config.Replicas {
		err = errors.New("too few replicas have the write")
	}
	return err
}

func (w *writer) stopped() bool {
	select {
	case <-w.config.Stop:
		return true
	default:
		return false
	}
}

// acknowledged enters the confirmation of the next write.
func (w *writer) acknowledged() {
	now := time.Now()
	if n := len(w.confirmed); n > 0 {
		last := w.confirmed[n-1]
		gap := now.Sub(last)
		w.report.LongestGapMilliseconds = max(w.report.LongestGapMilliseconds, gap.Milliseconds())
		if gap >= gapFrom {
			w.report.Gaps = append(w.report.Gaps, Gap{From: last, Milliseconds: gap.Milliseconds()})
		}
	}
	if w.report.FirstAt == nil {
		w.report.FirstAt = &now
	}
	w.confirmed = append(w.confirmed, now)
	w.report.Acknowledged++
}

func (w *writer) failed(err error) {
	w.report.Failures++
	w.lastFailure = kind(err)
	w.report.FailureKinds[w.lastFailure]++
	w.retry()
}

// verify reads every acknowledged write back, and removes what it has read.
func (w *writer) verify(ctx context.Context) error {
	end := time.Now().Add(verifyTime)
	for first := 0; first < w.report.Acknowledged; {
		keys := []string{}
		for number := first; number < min(first+verifyBatch, w.report.Acknowledged); number++ {
			keys = append(keys, w.key(number))
		}
		values, err := w.connect().MGet(ctx, keys...).Result()
		if err != nil {
			if time.Now().After(end) {
				return fmt.Errorf("read the keys back within %s: %w", verifyTime, err)
			}
			w.retry()
			continue
		}
		for i, value := range values {
			if value != fmt.Sprint(first+i) {
				w.lost(first + i)
			}
		}
		_ = w.connect().Unlink(ctx, keys...).Err()
		first += len(keys)
	}
	return nil
}

// lost enters the loss of a confirmed write; numbers come in their order.
func (w *writer) lost(number int) {
	if w.report.Lost == 0 {
		w.report.FirstLostAt = &w.confirmed[number]
	}
	w.report.LastLostAt = &w.confirmed[number]
	w.report.Lost++
}

func (w *writer) key(number int) string {
	return fmt.Sprintf("%s%d", w.config.Prefix, number)
}

// kind shortens an error to what happened, without addresses that differ from
// attempt to attempt.
func kind(err error) string {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return "timeout"
	}
	var operation *net.OpError
	if errors.As(err, &operation) {
		return operation.Op + ": " + operation.Err.Error()
	}
	return err.Error()
}
