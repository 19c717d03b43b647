// Package identity gives each sentinel pod one of the stable identities of the release, so that a pod that replaces another is the same
// sentinel at a new address.
//
// An identity is a slot in the Lease of the sentinels. There are as many slots as configured sentinels.
package identity

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// ErrNoSlot says that all identities are held by other pods; one becomes free when
// the pod that is being replaced has ended, or is lost with its node.
var ErrNoSlot = errors.New("all sentinel identities are held by other pods")

// ID is the stable identity of a slot: Sentinel replaces a peer with a
// known ID and a new address instead of counting it twice for ever.
func ID(cluster string, slot int) string {
	sum := sha1.Sum(fmt.Appendf(nil, "%s/%d", cluster, slot))
	return hex.EncodeToString(sum[:])
}

const (
	// lostLooks is how many looks in a row must find a holder silent before its slot is
	// free: one answer that is late decides nothing.
	lostLooks = 10
	// lostLook is the time between two of them.
	lostLook = time.Second
)

// Taker takes one of n identities for the pod self.
type Taker struct {
	api  *kube.Client
	self record.Member
	n    int
	log  *slog.Logger
	// answers says whether the sentinel of a pod, or its launcher, answers.
	answers func(ctx context.Context, pod kube.Pod) bool

	askedAt time.Time
	silent  map[string]int // by the UIDs of overdue holders: how many looks in a row have found them silent
}

// New prepares a Taker of one of n identities for the pod self. answers says whether the sentinel of a pod, or its launcher, answers.
// The Taker may call it for several pods at once.
func New(api *kube.Client, self record.Member, n int, answers func(ctx context.Context, pod kube.Pod) bool, log *slog.Logger) *Taker {
	return &Taker{api: api, self: self, n: n, answers: answers, log: log}
}

// Take gives this pod an identity, and keeps the one it has. A slot is free when
// nobody holds it, when its holder is no pod any more, or when its holder is lost. The
// pods are read after the slots, so a holder that is not there has certainly gone. The
// error is ErrNoSlot if all slots are held.
func (t *Taker) Take(ctx context.Context) (int, kube.Slots, error) {
	for {
		slots, err := t.api.Slots(ctx)
		if err != nil {
			return 0, slots, err
		}
		pods, err := t.api.LivePods(ctx)
		if err != nil {
			return 0, slots, err
		}
		slot, changed := chooseSlot(slots.Holders, pods, nil, t.self, t.n)
		if slot < 0 {
			t.look(ctx, overdueHolders(slots.Holders, pods, time.Now()))
			slot, changed = chooseSlot(slots.Holders, pods, t.lost(), t.self, t.n)
		}
		if slot < 0 {
			return 0, slots, ErrNoSlot
		}
		if !changed {
			return slot, slots, nil
		}
		if before, held := slots.Holders[slot]; held && before.UID != t.self.UID {
			t.log.Warn("the sentinel's identity is taken from a pod that is terminating beyond its grace period and does not answer; "+
				"if its node does not come back, delete the Node object", "pod", before.Name)
		}
		slots.Holders[slot] = t.self
		err = t.api.WriteSlots(ctx, slots)
		if err == nil {
			return slot, slots, nil
		}
		if !errors.Is(err, kube.ErrChanged) {
			return 0, slots, err
		}
	}
}

// look asks the overdue holders, at most once in lostLook, and counts who is silent.
func (t *Taker) look(ctx context.Context, overdue []kube.Pod) {
	if time.Since(t.askedAt) < lostLook {
		return
	}
	t.askedAt = time.Now()
	type question struct {
		pod     kube.Pod
		answers bool
	}
	var asked []question
	for _, pod := range overdue {
		asked = append(asked, question{pod: pod})
	}
	var wait sync.WaitGroup
	for i := range asked {
		wait.Go(func() { asked[i].answers = t.answers(ctx, asked[i].pod) })
	}
	wait.Wait()
	silent := map[string]int{}
	for _, q := range asked {
		if !q.answers {
			silent[q.pod.UID] = t.silent[q.pod.UID] + 1
		}
	}
	t.silent = silent
}

// lost gives the UIDs of the overdue holders that have been silent for long.
func (t *Taker) lost() map[string]bool {
	lost := map[string]bool{}
	for uid, looks := range t.silent {
		lost[uid] = looks >= lostLooks
	}
	return lost
}

// overdueHolders gives the pods that hold a slot and should have ended.
func overdueHolders(holders map[int]record.Member, pods []kube.Pod, now time.Time) []kube.Pod {
	var overdue []kube.Pod
	for _, pod := range pods {
		holds := false
		for _, holder := range holders {
			holds = holds || holder.UID == pod.UID
		}
		if holds && pod.Overdue(now) {
			overdue = append(overdue, pod)
		}
	}
	return overdue
}

// chooseSlot drops holders that are gone and gives the slot for self, or -1;
// changed says that the slots must be written. lost are the UIDs of the pods whose
// slots may be taken although they exist. That is done where no other slot is free.
//
// A lost pod may run behind a partition of the network, and come back with the identity
// that another pod has by now. While it is cut off, its sentinel alone is no majority.
// When it is back, the other sentinels know each run ID at one address only, so they
// count one vote for the two. The two can disturb an election only if the master dies
// in the seconds before the returned launcher, or the kubelet, sees that the pod should
// have ended, and stops the sentinel.
func chooseSlot(holders map[int]record.Member, pods []kube.Pod, lost map[string]bool, self record.Member, n int) (slot int, changed bool) {
	alive := map[string]bool{self.UID: true}
	for _, pod := range pods {
		alive[pod.UID] = true
	}
	slot = -1
	for i, holder := range holders {
		switch {
		case !alive[holder.UID]:
			delete(holders, i)
			changed = true
		case holder.UID == self.UID && i < n:
			slot = i
			changed = changed || holder != self
		}
	}
	for i := 0; slot < 0 && i < n; i++ {
		if _, taken := holders[i]; !taken {
			slot, changed = i, true
		}
	}
	for i := 0; slot < 0 && i < n; i++ {
		if lost[holders[i].UID] {
			slot, changed = i, true
		}
	}
	return slot, changed
}

// Release gives the identity back, after the sentinel has ended.
func (t *Taker) Release(ctx context.Context) error {
	for {
		slots, err := t.api.Slots(ctx)
		if err != nil {
			return err
		}
		found := false
		for i, holder := range slots.Holders {
			if holder.UID == t.self.UID {
				delete(slots.Holders, i)
				found = true
			}
		}
		if !found {
			return nil
		}
		if err = t.api.WriteSlots(ctx, slots); !errors.Is(err, kube.ErrChanged) {
			return err
		}
	}
}
