// Package defaults asks Redis for the defaults of its directives, so that a directive that the user sets no more gets its default back
// without a restart. The running Redis does not tell them: it tells what the user has set.
package defaults

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
)

const (
	// patience bounds the start of a Redis without data. It needs some hundredths of a second.
	patience = 10 * time.Second
	// tryEvery is the pause between two attempts to reach it.
	tryEvery = 20 * time.Millisecond
)

// Ask starts another redis-server for a moment, which listens at a socket in dir only, and gives the values that directives have there. program is
// the name of redis-server. A directive that it does not know is missing in the answer.
func Ask(ctx context.Context, program, dir string, directives []string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	socket := filepath.Join(dir, "defaults.sock")
	child, err := process.Start(program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir, "--logfile", os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("ask Redis for its defaults: %w", err)
	}
	defer os.Remove(socket)
	defer child.Stop(syscall.SIGKILL, time.Second)
	client := redis.NewClient(&redis.Options{
		Network: "unix", Addr: socket, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer client.Close()
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return values(ctx, client, directives)
		}
		select {
		case <-child.Done():
			return nil, fmt.Errorf("ask Redis for its defaults: it has ended: %w", child.Err())
		case <-ctx.Done():
			return nil, fmt.Errorf("ask Redis for its defaults: no answer within %v: %w", patience, err)
		case <-time.After(tryEvery):
		}
	}
}

// values asks for the directives one by one: Redis does not list all of them.
func values(ctx context.Context, client *redis.Client, directives []string) (map[string]string, error) {
	found := map[string]string{}
	for _, name := range directives {
		value, err := client.ConfigGet(ctx, name).Result()
		if err != nil {
			return nil, fmt.Errorf("ask Redis for the default of %s: %w", name, err)
		}
		maps.Copy(found, value)
	}
	return found, nil
}
