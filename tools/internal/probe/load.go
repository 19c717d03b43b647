package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/crowd"
	"github.com/redis-ha/redis-ha/tools/internal/lag"
)

// readyTime bounds the time until a program in the client's pod is ready: until every client of a crowd has written, for instance.
const readyTime = time.Minute

// Watched is a program in the client's pod that says when it is ready, and what it saw at its end.
type Watched[R any] struct {
	session *session
	report  R
}

// Crowd starts clients that write to address until Finish, and waits until every one has written.
func (c *Client) Crowd(ctx context.Context, address string, clients int) (*Watched[crowd.Report], error) {
	return watch[crowd.Report](ctx, c, "crowd", "-address", address, "-clients", strconv.Itoa(clients))
}

// Lag watches how far the replicas among the servers fall behind, until Finish.
func (c *Client) Lag(ctx context.Context, servers []string) (*Watched[lag.Report], error) {
	return watch[lag.Report](ctx, c, append([]string{"lag"}, servers...)...)
}

// watch starts a program, and waits until it is ready.
func watch[R any](ctx context.Context, c *Client, args ...string) (*Watched[R], error) {
	found, ready := &Watched[R]{}, make(chan struct{})
	read := func(text []byte) {
		if string(text) == "ready" {
			close(ready)
			return
		}
		_ = json.Unmarshal(text, &found.report) // the last line is the report
	}
	var err error
	if found.session, err = c.run(ctx, read, args...); err != nil {
		return nil, err
	}
	select {
	case <-ready:
		return found, nil
	case err := <-found.session.ended:
		return nil, fmt.Errorf("%s ended early: %w", args[0], err)
	case <-time.After(readyTime):
		found.session.cancel()
		return nil, fmt.Errorf("waited %s for %s to be ready", readyTime, args[0])
	}
}

// Finish stops the program, and gives what it saw.
func (w *Watched[R]) Finish() (report R, err error) {
	defer w.session.cancel()
	if err := w.session.close(); err != nil {
		return report, err
	}
	select {
	case err := <-w.session.ended:
		return w.report, err
	case <-time.After(readBackTime):
		return report, fmt.Errorf("waited %s for the program to end", readBackTime)
	}
}

// Abandon ends the program without a report.
func (w *Watched[R]) Abandon() { w.session.cancel() }
