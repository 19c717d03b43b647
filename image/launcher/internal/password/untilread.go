package password

import (
	"context"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/settings"
)

// askAgain is the pause between two questions to servers that refuse the password of this pod.
const askAgain = 2 * time.Second

// UntilRead calls ask again while a server refuses the password of this pod: the server may not have read a new password yet. After
// settings.SettleTime UntilRead waits no longer. ask gives the refusal, or nil. waits is told of the first refusal. The error is the cause of the end
// of ctx.
func UntilRead(ctx context.Context, ask func() (refusal error), waits func(refusal error)) error {
	told := false
	for deadline := time.Now().Add(settings.SettleTime); ; {
		refusal := ask()
		if refusal == nil || time.Now().After(deadline) {
			return nil
		}
		if !told {
			waits(refusal)
			told = true
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(askAgain):
		}
	}
}
