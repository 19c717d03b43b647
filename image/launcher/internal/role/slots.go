package role

import (
	"maps"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

const (
	// lostLooks is how many looks in a row must find a holder silent before another pod may take its slot. A single answer
	// that is late decides nothing.
	lostLooks = 10
	// lostLook is the least time from one of these looks to the next.
	lostLook = time.Second
)

// SilentHolders counts the looks in a row that have found the overdue holders of slots silent. The zero value has no look yet.
type SilentHolders struct {
	lookedAt time.Time
	looks    map[string]int // by the UIDs of the holders
}

// Due says whether the next look may begin.
func (s SilentHolders) Due(now time.Time) bool { return now.Sub(s.lookedAt) >= lostLook }

// After adds a look that began at a moment. silent holds the UIDs of the overdue holders that did not answer. The count of every other
// pod starts again at 0.
func (s SilentHolders) After(began time.Time, silent []string) SilentHolders {
	looks := make(map[string]int, len(silent))
	for _, uid := range silent {
		looks[uid] = s.looks[uid] + 1
	}
	return SilentHolders{lookedAt: began, looks: looks}
}

// lost says whether a holder has been silent for so long that another pod may take its slot.
func (s SilentHolders) lost(uid string) bool { return s.looks[uid] >= lostLooks }

// ChooseSlot chooses a slot for the pod self where at most n slots may be held. holders are the pods that hold a slot, by slot, and living holds
// the UIDs of the pods of the release. ChooseSlot drops holders that do not live, and self keeps the slot that it holds. It returns the slot, and
// the holders after the choice. The slot is -1 if n slots are held. silent are the holders whose slots may be taken although they
// live, once they are lost. ChooseSlot takes such a slot only where no other slot is free.
//
// A pod keeps its slot when n gets less, also a slot from n on: whoever scales the release down decides which pods go, and the others stay the
// sentinels that they are.
//
// A lost pod may run behind a partition of the network, and come back when another pod has its identity. While the lost pod is cut
// off, its sentinel alone is no majority. When it is back, the other sentinels know each run ID at one address only, so they
// count one vote for the two. The two can disturb an election only if the master dies in the seconds before the returned
// launcher, or the kubelet, sees that the pod should have ended, and stops the sentinel.
func ChooseSlot(holders map[int]record.Member, living []string, silent SilentHolders, self record.Member, n int) (slot int, next map[int]record.Member) {
	slot, next = -1, make(map[int]record.Member, n)
	for i, holder := range holders {
		if holder.UID == self.UID || slices.Contains(living, holder.UID) {
			next[i] = holder
		}
		if holder.UID == self.UID && slot < 0 {
			slot = i
		}
	}
	for i := 0; slot < 0 && len(next) < n; i++ {
		if _, held := next[i]; !held {
			slot = i
		}
	}
	for _, i := range slices.Sorted(maps.Keys(next)) {
		if slot < 0 && silent.lost(next[i].UID) {
			slot = i
		}
	}
	if slot >= 0 {
		next[slot] = self
	}
	return slot, next
}
