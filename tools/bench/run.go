package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tools/internal/probe"
	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

const (
	// settled is how long a release must have been healthy before a fault.
	// Sentinels learn of a new replica a second or two after it is connected, and
	// kube-proxy needs a quiet second.
	settled = 4 * time.Second
	// recovery bounds the time from a fault to a healthy release.
	recovery = 3 * time.Minute
	// interval is the pause of a writer after an acknowledged write, and so the
	// resolution of a gap.
	interval = 2 * time.Millisecond
	// phase is the longest period of what a fault may meet at any moment: kube-proxy's
	// pause, the launchers' quiet look at the sentinels, a sentinel's INFO.
	phase = time.Second
	// before is how many writes come before a fault.
	before = 300
)

// run is what one fault did.
type run struct {
	// At is when the fault began.
	At time.Time `json:"at"`
	// GapMS is the longest time in which a plain client had no acknowledged write,
	// WaitGapMS the same for one that waits for a replica (WAIT 1).
	GapMS     float64 `json:"gapMilliseconds"`
	WaitGapMS float64 `json:"waitGapMilliseconds"`
	// Lost and WaitLost are acknowledged writes that were not there at the end.
	Lost     int `json:"lost"`
	WaitLost int `json:"waitLost"`
	// LabelMS is the time until exactly one pod, and another one, was labelled
	// master; negative if the chart has no label.
	LabelMS float64 `json:"labelMilliseconds"`
	// RejoinedMS is the time until all servers were master or connected slaves.
	RejoinedMS float64 `json:"rejoinedMilliseconds"`
	// Writes is how often launchers wrote to the API.
	Writes int `json:"apiWrites"`
	// Gaps and History are what the picture of the run shows.
	Gaps    []writer.Gap  `json:"gaps,omitempty"`
	History []probe.Entry `json:"history,omitempty"`
}

// start starts a client that writes to the release.
type start func(ctx context.Context) (*probe.Writer, error)

// writes starts a plain client of the master Service. replicas is how many replicas each write waits for, and pause the time after an
// acknowledged write.
func (b *bench) writes(replicas int, pause time.Duration) start {
	return func(ctx context.Context) (*probe.Writer, error) {
		target, err := b.target(ctx)
		if err != nil {
			return nil, err
		}
		return b.client.Write(ctx, target, replicas, pause, 2*recovery, b.release.Encryption...)
	}
}

// struck is what one fault did.
type struck struct {
	// at is when the fault began, rejoined the time until all servers were master or connected slaves.
	at       time.Time
	rejoined time.Duration
	// master is the pod that was master before.
	master *corev1.Pod
	// reports are those of the clients, in the order in which they were started.
	reports []writer.Report
}

// strike makes a fault happen once while clients write.
func (b *bench) strike(ctx context.Context, k kind, starts ...start) (struck, error) {
	if k.Before != nil {
		if err := k.Before(ctx, b); err != nil {
			return struck{}, fmt.Errorf("before the fault: %w", err)
		}
	}
	if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, settled, recovery); err != nil {
		return struck{}, fmt.Errorf("before the fault: %w", err)
	}
	var writers []*probe.Writer
	for _, begin := range starts {
		w, err := begin(ctx)
		if err != nil {
			return struck{}, err
		}
		defer w.Abandon()
		writers = append(writers, w)
	}
	if err := advance(ctx, writers, before); err != nil {
		return struck{}, err
	}
	// Pings and syncs go by clocks that the last fault has set: without this every
	// run would meet them at the same moment of their periods.
	time.Sleep(rand.N(phase))
	s, err := b.hit(ctx, k)
	if err != nil {
		return s, err
	}
	if err := advance(ctx, writers, before/3); err != nil {
		return s, fmt.Errorf("after the fault: %w", err)
	}
	s.reports, err = finish(writers)
	return s, err
}

// hit makes the fault happen to the master, and waits until it is over.
func (b *bench) hit(ctx context.Context, k kind) (struck, error) {
	master, err := b.watcher.Master()
	if err != nil {
		return struck{}, err
	}
	s := struck{at: time.Now(), master: master}
	end, err := k.Do(ctx, b, master)
	if end != nil {
		err = errors.Join(err, end(ctx))
	}
	if err != nil {
		return s, fmt.Errorf("make the fault happen: %w", err)
	}
	err = b.awaitOver(ctx, k, master, s.at)
	s.rejoined = time.Since(s.at)
	return s, err
}

// advance waits until each client has n more acknowledged writes.
func advance(ctx context.Context, writers []*probe.Writer, n int) error {
	var all errgroup.Group
	for i, w := range writers {
		all.Go(func() error {
			if err := w.Advance(ctx, n, time.Minute); err != nil {
				return fmt.Errorf("client %d of %d: %w", i+1, len(writers), err)
			}
			return nil
		})
	}
	return all.Wait()
}

// finish stops all clients at once. None reads back while others write.
func finish(writers []*probe.Writer) ([]writer.Report, error) {
	var all errgroup.Group
	reports := make([]writer.Report, len(writers))
	for i, w := range writers {
		all.Go(func() (err error) {
			reports[i], err = w.Finish()
			return err
		})
	}
	return reports, all.Wait()
}

// once makes a fault happen once while a plain client and one that waits for a replica write.
func (b *bench) once(ctx context.Context, k kind) (run, error) {
	s, err := b.strike(ctx, k, b.writes(0, interval), b.writes(1, interval))
	if err != nil {
		return run{}, err
	}
	plain, waiting := s.reports[0], s.reports[1]
	r := run{
		At: s.at, RejoinedMS: milliseconds(s.rejoined), History: b.watcher.History(s.at),
		GapMS: float64(plain.LongestGapMilliseconds), Gaps: plain.Gaps, Lost: plain.Lost,
		WaitGapMS: float64(waiting.LongestGapMilliseconds), WaitLost: waiting.Lost,
	}
	r.LabelMS = labelled(r.History, r.At, s.master.Name)
	for _, e := range r.History {
		if e.Kind == probe.WriteKind {
			r.Writes++
		}
	}
	return r, nil
}

// awaitOver waits until the fault has had its effect and the release is healthy
// again.
func (b *bench) awaitOver(ctx context.Context, k kind, old *corev1.Pod, since time.Time) error {
	deadline := time.Now().Add(recovery)
	for {
		servers, _ := b.watcher.Pods()
		problem := b.watcher.Healthy(b.servers, b.pods)
		master, err := b.watcher.Master()
		switch {
		case problem != "":
		case err != nil:
			problem = err.Error()
		case k.Name == "upgrade" && !allNew(servers, since):
			problem = "some pods have not been replaced yet"
		case k.KeepsMaster && !happened(b.watcher.History(since)):
			problem = "nothing has happened yet"
		case !k.KeepsMaster && master.UID == old.UID && master.Status.ContainerStatuses[0].RestartCount == old.Status.ContainerStatuses[0].RestartCount:
			problem = "the master has not changed yet"
		default:
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("waited %s for a healthy release after the fault %s: %s", recovery, k.Name, problem)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// happened says whether a server has stopped playing its role.
func happened(history []probe.Entry) bool {
	for _, e := range history {
		if e.Kind == probe.RoleKind && e.Value == "none" {
			return true
		}
	}
	return false
}

// allNew says whether all these pods were made after a moment.
func allNew(pods []corev1.Pod, since time.Time) bool {
	for _, pod := range pods {
		if pod.CreationTimestamp.Time.Before(since.Truncate(time.Second)) {
			return false
		}
	}
	return true
}

// labelled gives the time until the set of pods labelled master was for the last
// time changed to exactly one; negative if it never was. old had the label.
func labelled(history []probe.Entry, from time.Time, old string) float64 {
	masters, at := map[string]bool{old: true}, -1.0
	for _, e := range history {
		if e.Kind != probe.LabelKind || masters[e.Pod] == (e.Value == "master") {
			continue
		}
		if delete(masters, e.Pod); e.Value == "master" {
			masters[e.Pod] = true
		}
		at = -1
		if len(masters) == 1 {
			at = milliseconds(e.At.Sub(from))
		}
	}
	return at
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
