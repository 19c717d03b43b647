package agent

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

const (
	// runIDLength is how many characters of the run ID become the label runID.
	runIDLength = 6
	// labelRetry is the pause after a failed patch.
	labelRetry = 250 * time.Millisecond
)

// labeller keeps the pod's labels as desired. It works beside the loop, so that
// an API server that does not answer never delays a decision about Redis.
type labeller struct {
	api    *kube.Client
	config config.Config
	log    *slog.Logger
	count  func(result string)
	now    func() time.Time
	kick   chan struct{}

	mu      sync.Mutex
	desired role.DesiredLabel

	onMaster func(ctx context.Context) // called after the label master has been written
}

func newLabeller(api *kube.Client, c config.Config, log *slog.Logger, count func(string)) *labeller {
	return &labeller{api: api, config: c, log: log, count: count, now: time.Now, kick: make(chan struct{}, 1)}
}

// want replaces the desired labels by labels that follow from a look that began at seenAt.
func (l *labeller) want(label, runID string, seenAt time.Time) {
	if len(runID) > runIDLength {
		runID = runID[:runIDLength]
	}
	l.mu.Lock()
	changed := l.desired.Want(label, runID, seenAt, l.api.Gone())
	l.mu.Unlock()
	if changed {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

// hold leaves the labels as they are, whoever changes them, until the next call of want.
func (l *labeller) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.desired.Hold()
}

// wanted returns the labels that are desired now.
func (l *labeller) wanted() role.PodLabels {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired.At(l.now(), l.config.DownAfter)
}

// WantsMaster says whether this pod is to be master now.
func (l *labeller) WantsMaster() bool { return l.wanted().Master() }

// Owned says whether this pod was last desired to be master, however long ago.
func (l *labeller) Owned() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired.Owned()
}

// Disown takes back the desire to be master, until a look that begins now leads to
// it again, and says whether there was such a desire.
func (l *labeller) Disown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired.Disown(l.now())
}

// done says whether the labels are as desired.
func (l *labeller) done() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired.Done()
}

// run works until ctx ends.
func (l *labeller) run(ctx context.Context) {
	failed := ""
	for {
		pause := time.Second
		if err := l.apply(ctx); err != nil && ctx.Err() == nil {
			if err.Error() != failed {
				l.log.Warn("the labels could not be written; trying again", "error", err)
			}
			failed, pause = err.Error(), labelRetry
		} else {
			failed = ""
		}
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		case <-time.After(pause):
		}
	}
}

// current returns the labels that the API has, or has accepted a moment ago. known is false if the pods that are watched do not hold this
// pod.
func (l *labeller) current() (current role.PodLabels, known bool) {
	l.mu.Lock()
	written, recent := l.desired.Written(l.now())
	l.mu.Unlock()
	if recent {
		return written, true
	}
	for _, pod := range l.api.Pods() {
		if pod.UID == l.config.PodUID {
			// Labels with an earlier address of this pod count as unknown, so they are written again.
			ok := pod.Role == "" || pod.PodIPLabel == l.ipLabel()
			return role.PodLabels{Known: ok, Role: pod.Role, RunID: pod.RunID}, true
		}
	}
	return role.PodLabels{}, false
}

// ipLabel is the pod's address as a label value, which must not hold colons.
func (l *labeller) ipLabel() string {
	return strings.Trim(strings.ReplaceAll(l.config.PodIP.String(), ":", "-"), "-")
}

// apply writes the labels if they are not as desired.
func (l *labeller) apply(ctx context.Context) error {
	wanted := l.wanted()
	if !wanted.Known {
		return nil
	}
	current, known := l.current()
	switch {
	case !known:
		return nil
	case current == wanted:
		l.mu.Lock()
		l.desired.Found(wanted)
		l.mu.Unlock()
		return nil
	}
	labels := map[string]string{kube.RoleLabel: wanted.Role, kube.PodIPLabel: l.ipLabel(), kube.RunIDLabel: wanted.RunID}
	annotations := map[string]string{}
	if !l.config.Sentinel {
		annotations[kube.DeletionCost] = deletionCost(wanted.Role)
	}
	err := l.api.PatchLabels(ctx, labels, annotations)
	if err != nil {
		l.count("error")
		return err
	}
	l.count("ok")
	l.mu.Lock()
	l.desired.Wrote(wanted, l.now())
	l.mu.Unlock()
	l.log.Info("labels written", "redis-role", wanted.Role, "runID", wanted.RunID)
	if wanted.Role == role.Master && l.onMaster != nil && l.wanted() == wanted {
		l.onMaster(ctx)
	}
	return nil
}

// deletionCost makes whatever shrinks or rolls the Deployment take the master last.
func deletionCost(r string) string {
	if r == role.Master {
		return "100"
	}
	return "0"
}
