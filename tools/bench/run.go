package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

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

// once makes a fault happen once while two clients write.
func (b *bench) once(ctx context.Context, k kind) (run, error) {
	if k.Before != nil {
		if err := k.Before(ctx, b); err != nil {
			return run{}, fmt.Errorf("before the fault: %w", err)
		}
	}
	if err := b.watcher.AwaitHealthy(ctx, b.servers, b.pods, settled, recovery); err != nil {
		return run{}, fmt.Errorf("before the fault: %w", err)
	}
	target, err := b.target(ctx)
	if err != nil {
		return run{}, err
	}
	plain, err := b.client.Write(ctx, target, 0, interval, 2*recovery)
	if err != nil {
		return run{}, err
	}
	defer plain.Abandon()
	waiting, err := b.client.Write(ctx, target, 1, interval, 2*recovery)
	if err != nil {
		return run{}, err
	}
	defer waiting.Abandon()
	for _, w := range []*probe.Writer{plain, waiting} {
		if err := w.Advance(ctx, before, time.Minute); err != nil {
			return run{}, err
		}
	}
	// Pings and syncs go by clocks that the last fault has set: without this every
	// run would meet them at the same moment of their periods.
	time.Sleep(rand.N(phase))
	master, err := b.watcher.Master()
	if err != nil {
		return run{}, err
	}
	r := run{At: time.Now()}
	end, err := k.Do(ctx, b, master)
	if end != nil {
		err = errors.Join(err, end(ctx))
	}
	if err != nil {
		return r, fmt.Errorf("make the fault happen: %w", err)
	}
	if err := b.awaitOver(ctx, k, master, r.At); err != nil {
		return r, err
	}
	r.RejoinedMS = milliseconds(time.Since(r.At))
	for _, w := range []*probe.Writer{plain, waiting} {
		if err := w.Advance(ctx, before/3, time.Minute); err != nil {
			return r, fmt.Errorf("after the fault: %w", err)
		}
	}
	return r, b.account(&r, master, plain, waiting)
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

// account enters what the clients and the watcher saw.
func (b *bench) account(r *run, old *corev1.Pod, plain, waiting *probe.Writer) error {
	first, err := plain.Finish()
	if err != nil {
		return err
	}
	second, err := waiting.Finish()
	if err != nil {
		return err
	}
	r.GapMS, r.Gaps, r.Lost = float64(first.LongestGapMilliseconds), first.Gaps, first.Lost
	r.WaitGapMS, r.WaitLost = float64(second.LongestGapMilliseconds), second.Lost
	r.History = b.watcher.History(r.At)
	r.LabelMS = labelled(r.History, r.At, old.Name)
	for _, e := range r.History {
		if e.Kind == probe.WriteKind {
			r.Writes++
		}
	}
	return nil
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
