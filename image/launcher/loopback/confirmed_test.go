package loopback

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// confirmEvery is the time between two confirmations that a writer asks for.
// confirmWithin bounds each. A master without a replica in sync holds the
// writer up for that long.
const (
	confirmEvery  = 50 * time.Millisecond
	confirmWithin = 10 * time.Millisecond
)

// confirmation says which servers have all writes that a connection has sent so far.
type confirmation struct {
	runID        string   // of the master
	acknowledged int      // replicas that WAIT counted
	replicas     []string // addresses without port of the replicas that have acknowledged the writes
	online       int      // replicas in sync before the writes
}

// setAndConfirm writes a key and asks in the same pipeline who has it. The
// confirmation is nil where only the write itself was answered. The offset
// before WAIT includes the write, so that a replica that has acknowledged this
// offset after WAIT has the write.
func setAndConfirm(ctx context.Context, client *redis.Client, number int) (*confirmation, error) {
	var set *redis.StatusCmd
	var before, acknowledged, after *redis.Cmd
	_, _ = client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		set = pipe.Set(ctx, key(number), number, 0)
		before = pipe.Do(ctx, "INFO", "server", "replication")
		acknowledged = pipe.Do(ctx, "WAIT", 1, confirmWithin.Milliseconds())
		after = pipe.Do(ctx, "INFO", "replication")
		return nil
	})
	if set.Err() == nil && set.Val() != "OK" {
		return nil, errors.New("the write was not answered")
	}
	if set.Err() != nil {
		return nil, set.Err()
	}
	replicas, err := acknowledged.Int()
	if err != nil || before.Err() != nil || after.Err() != nil {
		return nil, nil
	}
	sent := infoFields(before)
	offset, err := strconv.ParseInt(sent["master_repl_offset"], 10, 64)
	if err != nil {
		return nil, nil
	}
	return &confirmation{runID: sent["run_id"], acknowledged: replicas, replicas: replicasAt(infoFields(after), offset),
		online: len(replicasAt(sent, 0))}, nil
}

// infoFields splits an answer to INFO.
func infoFields(reply *redis.Cmd) map[string]string {
	text, _ := reply.Text()
	fields := map[string]string{}
	for _, line := range strings.Split(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// replicasAt returns the addresses of the replicas that have acknowledged an offset.
func replicasAt(fields map[string]string, offset int64) []string {
	var result []string
	for name, value := range fields {
		if _, err := strconv.Atoi(strings.TrimPrefix(name, "slave")); err != nil {
			continue
		}
		replica := map[string]string{}
		for _, part := range strings.Split(value, ",") {
			name, value, _ := strings.Cut(part, "=")
			replica[name] = value
		}
		if at, err := strconv.ParseInt(replica["offset"], 10, 64); err == nil && at >= offset && replica["state"] == "online" {
			result = append(result, replica["ip"])
		}
	}
	return result
}
