// Package lag watches how far the replicas of a Redis master fall behind.
package lag

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// lookEvery is the pause between two looks at the servers.
	lookEvery = 20 * time.Millisecond
	// answerTime bounds one look.
	answerTime = time.Second
)

// Report is what was seen.
type Report struct {
	// Greatest is how many bytes the foremost replica was behind at most.
	Greatest int64 `json:"greatestBytes"`
	// AloneMS is for how long no replica was connected.
	AloneMS float64 `json:"aloneMilliseconds"`
	// Copies is how many full copies the master began, and Refused how many writes it refused for want of replicas.
	Copies  int64 `json:"fullCopies"`
	Refused int64 `json:"refused"`
}

// watch looks at the servers.
type watch struct {
	clients         []*redis.Client
	report          Report
	lookAt          time.Time
	copies, refused int64 // of the master at the first look
}

// Watch looks at servers, given by host:port, until ctx ends. ready is called after the first look.
func Watch(ctx context.Context, servers []string, password string, ready func()) (Report, error) {
	w := &watch{}
	for _, address := range servers {
		w.clients = append(w.clients, redis.NewClient(&redis.Options{Addr: address, Password: password, Protocol: 2, PoolSize: 1, MaxRetries: -1,
			DisableIdentity: true, ReadTimeout: answerTime, WriteTimeout: answerTime}))
	}
	defer func() {
		for _, client := range w.clients {
			_ = client.Close()
		}
	}()
	if err := w.look(ctx); err != nil {
		return Report{}, err
	}
	ready()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(lookEvery):
		}
		_ = w.look(context.WithoutCancel(ctx)) // a server that does not answer is looked at again
	}
	return w.report, nil
}

// look asks all servers at once.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	answers, asked := make([]map[string]string, len(w.clients)), sync.WaitGroup{}
	for i, client := range w.clients {
		asked.Go(func() {
			if text, err := client.Info(ctx, "replication", "stats", "errorstats").Result(); err == nil {
				answers[i] = fields(text)
			}
		})
	}
	asked.Wait()
	master, offsets := roles(answers)
	if master == nil {
		return errors.New("no server answers that it is master")
	}
	copies, refused := number(master, "sync_full"), refusals(master)
	if w.lookAt.IsZero() {
		w.copies, w.refused = copies, refused
	}
	w.report.Copies, w.report.Refused = copies-w.copies, refused-w.refused
	if len(offsets) == 0 {
		if !w.lookAt.IsZero() {
			w.report.AloneMS += float64(time.Since(w.lookAt)) / float64(time.Millisecond)
		}
	} else {
		w.report.Greatest = max(w.report.Greatest, number(master, "master_repl_offset")-slices.Max(offsets))
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

// refusals is how many writes a master has refused for want of replicas.
func refusals(master map[string]string) int64 {
	count, _ := strings.CutPrefix(master["errorstat_NOREPLICAS"], "count=")
	n, _ := strconv.ParseInt(count, 10, 64)
	return n
}

// String tells a user what was seen.
func (r Report) String() string {
	return fmt.Sprintf("greatest lag %.1f MiB, %.1f s without a replica, %d full copies, %d writes refused", float64(r.Greatest)/(1<<20), r.AloneMS/1000, r.Copies, r.Refused)
}
