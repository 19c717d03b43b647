// Package observe asks Redis servers, sentinels and launchers, and gives their answers as facts of package role.
package observe

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// QuickAnswer is how long a look waits for all answers while a failover is under way or may be. A pod on the same network answers within
// milliseconds.
const QuickAnswer = 150 * time.Millisecond

// Asker asks the processes of a release for one pod of it.
type Asker struct {
	Config config.Config
	Links  *Links
	Log    *slog.Logger
	// Failed is called with each error of a question that Sentinels, Peers and Servers ask a Redis or a sentinel. Several goroutines may
	// call it at once. It may be nil.
	Failed func(error)
}

// Limit bounds the time for answers by QuickAnswer if quick is true. Otherwise each question has only its own deadline.
func Limit(ctx context.Context, quick bool) (context.Context, context.CancelFunc) {
	if quick {
		return context.WithTimeout(ctx, QuickAnswer)
	}
	return context.WithCancel(ctx)
}

// Each calls f for every element at once and waits for all calls.
func Each[T any](list []T, f func(*T)) {
	var wait sync.WaitGroup
	for i := range list {
		wait.Go(func() { f(&list[i]) })
	}
	wait.Wait()
}

// ReachOf gives what the error of a question to Redis or a sentinel says for decisions. An error in reply (a wrong password) tells
// nothing about roles, so it counts as no answer.
func ReachOf(err error) role.Reach {
	switch {
	case err == nil:
		return role.Answered
	case redisnode.ReachOf(err) == redisnode.Refused:
		return role.Refused
	default:
		return role.Unknown
	}
}

// failed passes the error of a question on to Failed.
func (a Asker) failed(err error) {
	if err != nil && a.Failed != nil {
		a.Failed(err)
	}
}
