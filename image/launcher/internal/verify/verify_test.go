package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
)

// reply is an error that a Redis gives.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

// A Secret that changes, or auth that is turned on or off, reaches the pods one after the other.
func TestStepWaitsUntilThePasswordHasReachedAllPods(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		tried time.Duration
	}{
		"another password":               {err: fmt.Errorf("read the key: %w", reply("WRONGPASS invalid username-password pair")), tried: settings.SettleTime},
		"auth is still on":               {err: reply("NOAUTH Authentication required."), tried: settings.SettleTime},
		"something else":                 {err: errors.New("no answer"), tried: stepLimit},
		"something else after a refusal": {err: nil, tried: time.Minute + stepLimit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := step{check: func(context.Context) error {
					switch {
					case c.err != nil:
						return c.err
					case time.Since(began) < time.Minute:
						return reply("WRONGPASS invalid username-password pair")
					}
					return errors.New("no answer")
				}}
				require.Error(t, s.run(t.Context(), io.Discard))
				require.InDelta(t, c.tried, time.Since(began), float64(2*retry))
			})
		})
	}
	require.Greater(t, keyLife, settings.SettleTime, "the key must be there when the last pod has the password")
}
