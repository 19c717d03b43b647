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
	// cacheLag is how long after a patch the pod cache may still show the old labels.
	cacheLag = 2 * time.Second
	// labelRetry is the pause after a failed patch.
	labelRetry = 250 * time.Millisecond
)

// wish is what the pod's labels should be.
type wish struct {
	known bool // false: leave them as they are
	role  string
	runID string
}

// labeller keeps the pod's labels as wished. It works beside the loop, so that
// an API server that does not answer never delays a decision about Redis.
type labeller struct {
	api    *kube.Client
	config config.Config
	log    *slog.Logger
	count  func(result string)

	mu      sync.Mutex
	wish    wish
	seenAt  time.Time // when the look began that the wish follows from
	applied wish
	at      time.Time
	// disownedAt is when another pod took the label master off this one, or this one was gone.
	disownedAt time.Time
	kick       chan struct{}

	onMaster func(ctx context.Context) // called after the label master has been written
}

func newLabeller(api *kube.Client, c config.Config, log *slog.Logger, count func(string)) *labeller {
	return &labeller{api: api, config: c, log: log, count: count, kick: make(chan struct{}, 1)}
}

// want replaces the wish by one that follows from a look that began at seenAt.
func (l *labeller) want(label, runID string, seenAt time.Time) {
	if len(runID) > runIDLength {
		runID = runID[:runIDLength]
	}
	l.mu.Lock()
	if gone := label == role.Master && l.api.Gone(); gone || l.disownedAt.After(seenAt) {
		if gone {
			l.wish = wish{} // there is no pod to label
		}
		l.mu.Unlock()
		return // it was seen before somebody knew better
	}
	changed := !l.wish.known || l.wish.role != label || l.wish.runID != runID
	l.wish, l.seenAt = wish{known: true, role: label, runID: runID}, seenAt
	l.mu.Unlock()
	if changed {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

// hold leaves the labels as they are, whoever changes them, until the next wish.
func (l *labeller) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wish.known = false
}

// wanted is the present wish. To be master is no wish any more when it follows
// from a look as old as a failover takes: the pod has stood still since then,
// and must look again first.
func (l *labeller) wanted() wish {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wish.role == role.Master && time.Since(l.seenAt) > l.config.DownAfter {
		return wish{}
	}
	return l.wish
}

// WantsMaster says whether the present wish is to be master.
func (l *labeller) WantsMaster() bool {
	w := l.wanted()
	return w.known && w.role == role.Master
}

// Owned says whether the last wish was to be master, however old it is.
func (l *labeller) Owned() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wish.known && l.wish.role == role.Master
}

// Disown takes back the wish to be master, until a look that begins now leads to
// it again, and says whether there was one.
func (l *labeller) Disown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wish.known && l.wish.role != role.Master {
		return false
	}
	l.wish, l.at, l.disownedAt = wish{}, time.Time{}, time.Now()
	return true
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

// current is what the API has, or was told a moment ago.
func (l *labeller) current() (wish, bool) {
	l.mu.Lock()
	applied, at := l.applied, l.at
	l.mu.Unlock()
	if time.Since(at) < cacheLag {
		return applied, true
	}
	for _, pod := range l.api.Pods() {
		if pod.UID == l.config.PodUID {
			ok := pod.Role == "" || pod.PodIPLabel == l.ipLabel()
			return wish{known: ok, role: pod.Role, runID: pod.RunID}, true
		}
	}
	return wish{}, false
}

// ipLabel is the pod's address as a label value, which must not hold colons.
func (l *labeller) ipLabel() string {
	return strings.Trim(strings.ReplaceAll(l.config.PodIP.String(), ":", "-"), "-")
}

// apply writes the labels if they differ from the wish.
func (l *labeller) apply(ctx context.Context) error {
	wanted := l.wanted()
	if !wanted.known {
		return nil
	}
	current, ok := l.current()
	if ok && current == wanted {
		l.mu.Lock()
		l.applied = wanted
		l.mu.Unlock()
	}
	if !ok || current == wanted {
		return nil
	}
	labels := map[string]string{kube.RoleLabel: wanted.role, kube.PodIPLabel: l.ipLabel(), kube.RunIDLabel: wanted.runID}
	annotations := map[string]string{}
	if !l.config.Sentinel {
		annotations[kube.DeletionCost] = deletionCost(wanted.role)
	}
	err := l.api.PatchLabels(ctx, labels, annotations)
	if err != nil {
		l.count("error")
		return err
	}
	l.count("ok")
	l.mu.Lock()
	l.applied, l.at = wanted, time.Now()
	l.mu.Unlock()
	l.log.Info("labels written", "redis-role", wanted.role, "runID", wanted.runID)
	if wanted.role == role.Master && l.onMaster != nil && l.wanted() == wanted {
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

// done says whether the labels are as wished.
func (l *labeller) done() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.applied == l.wish
}
