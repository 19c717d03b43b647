package notify

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

// Two sentinels name what they tell alike, or there are two Events and two calls.
func TestOneOccasionHasOneName(t *testing.T) {
	at := func(seconds float64) time.Time { return time.UnixMilli(int64(1000 * (1800000000 + seconds))) }
	epoch := func(n int64) func(context.Context) (int64, error) {
		return func(context.Context) (int64, error) { return n, nil }
	}
	silent := func(context.Context) (int64, error) { return 0, errors.New("no answer") }
	switched := redisnode.Notice{Channel: "+switch-master", Payload: "mymaster 10.0.0.1 6379 10.0.0.2 6379"}
	down := redisnode.Notice{Channel: "+odown", Payload: "master mymaster 10.0.0.1 6379 #quorum 2/2"}
	downOfAnother := redisnode.Notice{Channel: "+odown", Payload: "master mymaster 10.0.0.1 6379 #quorum 3/2"}
	for _, test := range []struct {
		what           string
		one, other     redisnode.Notice
		here, there    func(context.Context) (int64, error)
		hereAt, thenAt float64
		same           bool
	}{
		{"a switch, on both sides of a window's end", switched, switched, epoch(7), epoch(7), 29.5, 30.5, true},
		{"a switch, told again long after", switched, switched, epoch(7), epoch(7), 0, 900, true},
		{"the same switch in a later epoch", switched, switched, epoch(7), epoch(9), 10, 12, false},
		{"a switch without an epoch, in one window", switched, switched, silent, silent, 10, 12, true},
		{"a switch without an epoch, in two windows", switched, switched, silent, silent, 29.5, 30.5, false},
		{"a master that is down, with other votes", down, downOfAnother, epoch(7), epoch(7), 10, 12, true},
		{"a master that is down, much later", down, down, epoch(7), epoch(7), 10, 80, false},
		{"a master that is down, and a switch", down, switched, epoch(7), epoch(7), 10, 10, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			c := config.Config{Prefix: "redis-ha-redis-ha-"}
			one := New(c, nil, slog.New(slog.DiscardHandler), test.here).name(t.Context(), test.one, at(test.hereAt))
			other := New(c, nil, slog.New(slog.DiscardHandler), test.there).name(t.Context(), test.other, at(test.thenAt))
			require.Equal(t, test.same, one == other, "%s and %s", one, other)
		})
	}
}
