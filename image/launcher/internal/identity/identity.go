// Package identity gives each sentinel pod one of the stable identities of the release, so that a pod that replaces another is the same
// sentinel at a new address.
//
// An identity is a slot in the Lease of the sentinels. No more pods hold a slot than there are configured sentinels.
package identity

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// ErrNoSlot says that other pods hold all identities. One becomes free when the pod that is being replaced has ended, or is lost with
// its node.
var ErrNoSlot = errors.New("all sentinel identities are held by other pods")

// ID returns the run ID of the sentinel that holds a slot: 40 hexadecimal digits, as Sentinel wants them. cluster is the UID of the Lease
// with the slots; see kube.Slots. Sentinel replaces a peer with a known run ID and a new address, and does not count it twice.
func ID(cluster string, slot int) string {
	sum := sha1.Sum(fmt.Appendf(nil, "%s/%d", cluster, slot))
	return hex.EncodeToString(sum[:])
}

// Taker takes an identity for one pod, and gives it back.
type Taker struct {
	api     *kube.Client
	self    record.Member
	n       func() int
	answers func(ctx context.Context, pod kube.Pod) bool
	log     *slog.Logger
	now     func() time.Time

	silent role.SilentHolders
}

// New prepares a Taker for the pod self. n tells how many identities may be held. answers says whether the sentinel of a pod, or its launcher, answers.
// The Taker may call it for several pods at once.
func New(api *kube.Client, self record.Member, n func() int, answers func(ctx context.Context, pod kube.Pod) bool, log *slog.Logger) *Taker {
	return &Taker{api: api, self: self, n: n, answers: answers, log: log, now: time.Now}
}

// Take gives this pod an identity, or keeps the identity that it has. It returns the slot, numbered from 0, and all slots as they
// are now; see role.ChooseSlot. A slot is free when nobody holds it, when its holder is no pod any more, or when its holder is lost. The error is ErrNoSlot
// if no slot is free. Any other error comes from the API.
func (t *Taker) Take(ctx context.Context) (int, kube.Slots, error) {
	for {
		slots, err := t.api.Slots(ctx)
		if err != nil {
			return 0, slots, err
		}
		// The pods are read after the slots, so a holder that is not among them has certainly gone.
		pods, err := t.api.LivePods(ctx)
		if err != nil {
			return 0, slots, err
		}
		living := uids(pods)
		slot, next := role.ChooseSlot(slots.Holders, living, role.SilentHolders{}, t.self, t.n())
		if slot < 0 {
			t.look(ctx, overdueHolders(slots.Holders, pods, t.now()))
			slot, next = role.ChooseSlot(slots.Holders, living, t.silent, t.self, t.n())
		}
		if slot < 0 {
			return 0, slots, ErrNoSlot
		}
		if maps.Equal(next, slots.Holders) {
			return slot, slots, nil
		}
		if before := slots.Holders[slot]; slices.Contains(living, before.UID) && before.UID != t.self.UID {
			t.log.Warn("the sentinel's identity is taken from a pod that is terminating beyond its grace period and does not answer; "+
				"if its node does not come back, delete the Node object", "pod", before.Name)
		}
		slots.Holders = next
		err = t.api.WriteSlots(ctx, slots)
		if err == nil {
			return slot, slots, nil
		}
		if !errors.Is(err, kube.ErrChanged) {
			return 0, slots, err
		}
	}
}

// look asks the overdue holders whether they live, unless it has just done so, and counts who is silent.
func (t *Taker) look(ctx context.Context, overdue []kube.Pod) {
	began := t.now()
	if !t.silent.Due(began) {
		return
	}
	answered := make([]bool, len(overdue))
	var wait sync.WaitGroup
	for i, pod := range overdue {
		wait.Go(func() { answered[i] = t.answers(ctx, pod) })
	}
	wait.Wait()
	var silent []string
	for i, pod := range overdue {
		if !answered[i] {
			silent = append(silent, pod.UID)
		}
	}
	t.silent = t.silent.After(began, silent)
}

// overdueHolders returns the pods that hold a slot and should have ended.
func overdueHolders(holders map[int]record.Member, pods []kube.Pod, now time.Time) []kube.Pod {
	held := map[string]bool{}
	for _, holder := range holders {
		held[holder.UID] = true
	}
	return slices.DeleteFunc(slices.Clone(pods), func(pod kube.Pod) bool { return !held[pod.UID] || !pod.Overdue(now) })
}

func uids(pods []kube.Pod) []string {
	var uids []string
	for _, pod := range pods {
		uids = append(uids, pod.UID)
	}
	return uids
}

// Release gives the identity of this pod back. The sentinel must have ended. Release does nothing if this pod holds no identity, as when
// another pod has taken it. An error comes from the API.
func (t *Taker) Release(ctx context.Context) error {
	for {
		slots, err := t.api.Slots(ctx)
		if err != nil {
			return err
		}
		before := len(slots.Holders)
		maps.DeleteFunc(slots.Holders, func(_ int, holder record.Member) bool { return holder.UID == t.self.UID })
		if len(slots.Holders) == before {
			return nil
		}
		if err = t.api.WriteSlots(ctx, slots); !errors.Is(err, kube.ErrChanged) {
			return err
		}
	}
}
