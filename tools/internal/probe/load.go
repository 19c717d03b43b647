package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/bulk"
	"github.com/redis-ha/redis-ha/tools/internal/crowd"
)

// crowdTime bounds the time until every client of a crowd has written.
const crowdTime = time.Minute

// Bulk loads much data through address while it looks at the servers of a release, and waits until that is done.
func (c *Client) Bulk(ctx context.Context, address string, servers []string) (bulk.Report, error) {
	var report bulk.Report
	read := func(text []byte) { _ = json.Unmarshal(text, &report) } // the last line is the report
	load, err := c.run(ctx, read, "bulk", "-address", address, "-servers", strings.Join(servers, ","))
	if err != nil {
		return report, err
	}
	defer load.cancel()
	if err := <-load.ended; err != nil {
		return report, fmt.Errorf("the load: %w", err)
	}
	return report, nil
}

// Crowd is many clients that each write now and then.
type Crowd struct {
	session *session
	report  crowd.Report
}

// Crowd starts clients that write to address until Finish, and waits until every one has written.
func (c *Client) Crowd(ctx context.Context, address string, clients int) (*Crowd, error) {
	found, ready := &Crowd{}, make(chan struct{})
	read := func(text []byte) {
		if string(text) == "ready" {
			close(ready)
			return
		}
		_ = json.Unmarshal(text, &found.report)
	}
	var err error
	if found.session, err = c.run(ctx, read, "crowd", "-address", address, "-clients", strconv.Itoa(clients)); err != nil {
		return nil, err
	}
	select {
	case <-ready:
		return found, nil
	case err := <-found.session.ended:
		return nil, fmt.Errorf("the crowd ended early: %w", err)
	case <-time.After(crowdTime):
		found.session.cancel()
		return nil, fmt.Errorf("waited %s for each of %d clients to write", crowdTime, clients)
	}
}

// Finish stops the clients, and gives what they saw.
func (c *Crowd) Finish() (crowd.Report, error) {
	defer c.session.cancel()
	if err := c.session.close(); err != nil {
		return crowd.Report{}, err
	}
	select {
	case err := <-c.session.ended:
		if err != nil {
			return crowd.Report{}, fmt.Errorf("the crowd: %w", err)
		}
		return c.report, nil
	case <-time.After(readBackTime):
		return crowd.Report{}, fmt.Errorf("waited %s for the report of the crowd", readBackTime)
	}
}

// Abandon ends the clients without a report.
func (c *Crowd) Abandon() { c.session.cancel() }
