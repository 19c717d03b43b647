package agent

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
)

// errNoSlot says that all identities are held by living pods; one becomes free
// when the pod that is being replaced has ended.
var errNoSlot = errors.New("all sentinel identities are held by other pods")

// sentinelID is the stable identity of a slot: Sentinel replaces a peer with a
// known ID and a new address instead of counting it twice for ever.
func sentinelID(cluster string, slot int) string {
	sum := sha1.Sum(fmt.Appendf(nil, "%s/%d", cluster, slot))
	return hex.EncodeToString(sum[:])
}

// takeSlot gives this pod an identity, and keeps the one it has. A slot is free
// when nobody holds it or its holder is no pod any more; the pods are read
// after the slots, so a holder that is not there has certainly gone.
func takeSlot(ctx context.Context, api *kube.Client, self kube.Member, n int) (int, kube.Slots, error) {
	for {
		slots, err := api.Slots(ctx)
		if err != nil {
			return 0, slots, err
		}
		pods, err := api.LivePods(ctx)
		if err != nil {
			return 0, slots, err
		}
		slot, changed := chooseSlot(slots.Holders, pods, self, n)
		if slot < 0 {
			return 0, slots, errNoSlot
		}
		if !changed {
			return slot, slots, nil
		}
		slots.Holders[slot] = self
		err = api.WriteSlots(ctx, slots)
		if err == nil {
			return slot, slots, nil
		}
		if !errors.Is(err, kube.ErrChanged) {
			return 0, slots, err
		}
	}
}

// chooseSlot drops holders that are gone and gives the slot for self, or -1;
// changed says that the slots must be written.
func chooseSlot(holders map[int]kube.Member, pods []kube.Pod, self kube.Member, n int) (slot int, changed bool) {
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
	return slot, changed
}

// releaseSlot gives the identity back, after the sentinel has ended.
func releaseSlot(ctx context.Context, api *kube.Client, self kube.Member) error {
	for {
		slots, err := api.Slots(ctx)
		if err != nil {
			return err
		}
		found := false
		for i, holder := range slots.Holders {
			if holder.UID == self.UID {
				delete(slots.Holders, i)
				found = true
			}
		}
		if !found {
			return nil
		}
		if err = api.WriteSlots(ctx, slots); !errors.Is(err, kube.ErrChanged) {
			return err
		}
	}
}
