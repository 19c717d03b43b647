// Package labels keeps the labels of this launcher's pod as the launcher desires them.
//
// Package role says for how long a desired label counts; see role.DesiredLabel.
package labels

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

// Labeller keeps the labels redis-role, podIP and runID of this pod as desired, and on a server pod the deletion cost. It works beside
// the loop, so that an API server that does not answer never delays a decision about Redis.
type Labeller struct {
	// OnMaster is called after the label master has been written, if this pod is still to be master; nil: nothing is called. It is
	// set before Run. No label is written before it returns. Its context is that of Run.
	OnMaster func(ctx context.Context)
	// DownAfter tells how long ago the look may have begun that the label master follows from. It is set before Run; New has it tell the
	// value of the configuration.
	DownAfter func() time.Duration

	api    *kube.Client
	config config.Config
	log    *slog.Logger
	count  func(result string)
	now    func() time.Time
	kick   chan struct{}

	mu      sync.Mutex
	desired role.DesiredLabel
}

// New prepares a Labeller, which writes from Run on. count is called after each write with its result: "ok" or "error".
func New(api *kube.Client, c config.Config, log *slog.Logger, count func(result string)) *Labeller {
	return &Labeller{DownAfter: func() time.Duration { return c.DownAfter }, api: api, config: c, log: log, count: count, now: time.Now, kick: make(chan struct{}, 1)}
}

// Want replaces the desired labels. label is the value of redis-role: role.Master, role.Slave, role.Sentinel, or empty for a pod that is to
// have no such label. The first 6 characters of runID become the label runID. seenAt is when the look began that the labels follow from;
// see role.DesiredLabel.
func (l *Labeller) Want(label, runID string, seenAt time.Time) {
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

// Hold leaves the labels as they are, whoever changes them, until the next Want. seenAt is when the look began that it follows from.
func (l *Labeller) Hold(seenAt time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.desired.Hold(seenAt)
}

// wanted returns the labels that are desired now.
func (l *Labeller) wanted() role.PodLabels {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired.At(l.now(), l.DownAfter())
}

// WantsMaster says whether this pod is to be master now. It says no if the last look is older than DownAfter.
func (l *Labeller) WantsMaster() bool { return l.wanted().Master() }

// Owned says whether this pod was last desired to be master, however long ago.
func (l *Labeller) Owned() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired.Owned()
}

// Disown takes back the desire to be master until a look that begins after this moment leads to it again. It returns false, and changes
// nothing, if this pod is to have another label than master.
func (l *Labeller) Disown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired.Disown(l.now())
}

// Done says whether the labels are as desired.
func (l *Labeller) Done() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired.Done()
}

// Run writes the labels until ctx ends. A write that failed is logged, and tried again. The same error is logged once.
func (l *Labeller) Run(ctx context.Context) {
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
func (l *Labeller) current() (current role.PodLabels, known bool) {
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
func (l *Labeller) ipLabel() string {
	return strings.Trim(strings.ReplaceAll(l.config.PodIP.String(), ":", "-"), "-")
}

// apply writes the labels if they are not as desired.
func (l *Labeller) apply(ctx context.Context) error {
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
	if wanted.Role == role.Master && l.OnMaster != nil && l.wanted() == wanted {
		l.OnMaster(ctx)
	}
	return nil
}

// deletionCost returns a cost by which a Deployment that shrinks or rolls takes the master last.
func deletionCost(r string) string {
	if r == role.Master {
		return "100"
	}
	return "0"
}
