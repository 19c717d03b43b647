package role

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

func slotHolder(pod string) record.Member {
	return record.Member{Name: pod, UID: "uid-" + pod, IP: "127.0.0.1"}
}

// silentFor counts looks that have found the same holders silent.
func silentFor(looks int, uids ...string) SilentHolders {
	var s SilentHolders
	for i := range looks {
		s = s.After(time.Unix(int64(i), 0), uids)
	}
	return s
}

func TestSlotOfALivingPodIsNeverTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "sentinels")
		anyPod := rapid.Map(rapid.IntRange(0, 6), func(i int) string { return fmt.Sprint("sentinel-", i) })
		holders := map[int]record.Member{}
		for i := range n + 1 { // one is left over from a release with more sentinels
			if rapid.Bool().Draw(t, "held") {
				holders[i] = slotHolder(anyPod.Draw(t, fmt.Sprint("holder of ", i)))
			}
		}
		self := slotHolder(anyPod.Draw(t, "self"))
		var living, silent []string
		alive := map[string]bool{self.UID: true}
		for _, pod := range rapid.SliceOfDistinct(anyPod, rapid.ID).Draw(t, "living") {
			living = append(living, "uid-"+pod)
			alive["uid-"+pod] = true
		}
		lost := map[string]bool{}
		for _, pod := range rapid.SliceOfDistinct(anyPod, rapid.ID).Draw(t, "lost") {
			if uid := "uid-" + pod; uid != self.UID {
				silent = append(silent, uid)
				lost[uid] = true
			}
		}
		before := maps.Clone(holders)
		slot, next := ChooseSlot(holders, living, silentFor(lostLooks, silent...), self, n)
		if !maps.Equal(holders, before) {
			t.Fatal("the holders that were read are changed")
		}

		for i, holder := range before {
			if i != slot && alive[holder.UID] && next[i] != holder {
				t.Fatalf("%s lives and has lost slot %d", holder.Name, i)
			}
			if !alive[holder.UID] && next[i] == holder {
				t.Fatalf("%s is gone and keeps slot %d", holder.Name, i)
			}
		}
		held := 0 // slots that others hold, and own
		for _, holder := range before {
			if alive[holder.UID] {
				held++
			}
		}
		switch holder, taken := before[slot]; {
		case slot < 0:
			if held < n {
				t.Fatalf("%d of %d slots are held, and the pod gets none", held, n)
			}
			for i, holder := range before {
				if alive[holder.UID] && (lost[holder.UID] || holder.UID == self.UID) {
					t.Fatalf("slot %d was to be had", i)
				}
			}
		case taken && holder.UID == self.UID:
		case taken && alive[holder.UID] && !lost[holder.UID]:
			t.Fatalf("slot %d belongs to %s, which lives", slot, holder.Name)
		case taken && alive[holder.UID] && held < n:
			t.Fatalf("slot %d of a lost pod is taken, and another slot was free", slot)
		case !(taken && alive[holder.UID]) && (held >= n || slot >= n):
			t.Fatalf("slot %d is new, and %d of %d slots are held", slot, held, n)
		}
		if slot >= 0 && next[slot] != self {
			t.Fatal("the new slot is not held")
		}
		if len(next) > len(before)+1 {
			t.Fatal("more than one slot is new")
		}
	})
}

func TestPodKeepsItsSlotWithItsPresentAddress(t *testing.T) {
	self := slotHolder("sentinel-a")
	holders := map[int]record.Member{1: self}
	slot, next := ChooseSlot(holders, nil, SilentHolders{}, self, 3)
	require.Equal(t, 1, slot)
	require.Equal(t, holders, next, "there is nothing to write")
	self.IP = "127.0.0.99"
	slot, next = ChooseSlot(holders, nil, SilentHolders{}, self, 3)
	require.Equal(t, 1, slot)
	require.Equal(t, map[int]record.Member{1: self}, next)
}

// A Deployment that is scaled from 5 to 3 removes any two pods. The others keep their identities, and a later pod takes a slot that is free.
func TestPodsThatStayKeepTheirSlotsWhenThereAreFewer(t *testing.T) {
	a, b, c, d := slotHolder("sentinel-a"), slotHolder("sentinel-b"), slotHolder("sentinel-c"), slotHolder("sentinel-d")
	living := []string{a.UID, b.UID, c.UID, d.UID}
	holders := map[int]record.Member{1: a, 3: b, 4: c}
	slot, next := ChooseSlot(holders, living, SilentHolders{}, c, 3)
	require.Equal(t, 4, slot)
	require.Equal(t, holders, next, "there is nothing to write")
	slot, _ = ChooseSlot(holders, living, SilentHolders{}, d, 3)
	require.Equal(t, -1, slot, "three hold a slot")
	slot, _ = ChooseSlot(holders, living[1:], SilentHolders{}, d, 3)
	require.Equal(t, 0, slot)
	slot, _ = ChooseSlot(holders, living, silentFor(lostLooks, b.UID), d, 3)
	require.Equal(t, 3, slot, "the slot of a lost pod")
}

func TestHolderIsLostWhenItHasBeenSilentInTenLooksInARow(t *testing.T) {
	require.False(t, silentFor(lostLooks-1, "a").lost("a"))
	s := silentFor(lostLooks, "a", "b")
	require.True(t, s.lost("a"))
	require.False(t, s.lost("c"))
	s = s.After(time.Unix(100, 0), []string{"b"})
	require.False(t, s.lost("a"), "it has answered")
	require.True(t, s.lost("b"))
	for i := range lostLooks {
		require.False(t, s.lost("a"), "the silence counts from its beginning")
		s = s.After(time.Unix(int64(101+i), 0), []string{"a"})
	}
	require.True(t, s.lost("a"))
}

func TestLooksAtSilentHoldersAreASecondApart(t *testing.T) {
	began := time.Unix(100, 0)
	require.True(t, SilentHolders{}.Due(began), "the first look is due at once")
	s := SilentHolders{}.After(began, nil)
	require.False(t, s.Due(began.Add(lostLook-1)))
	require.True(t, s.Due(began.Add(lostLook)))
}

func TestLostHolderKeepsItsSlotWhileAnotherSlotIsFree(t *testing.T) {
	a, b, c := slotHolder("sentinel-a"), slotHolder("sentinel-b"), slotHolder("sentinel-c")
	living, silent := []string{a.UID, b.UID}, silentFor(lostLooks, a.UID)
	slot, next := ChooseSlot(map[int]record.Member{0: a, 1: b}, living, silent, c, 3)
	require.Equal(t, 2, slot)
	require.Equal(t, map[int]record.Member{0: a, 1: b, 2: c}, next)
	slot, next = ChooseSlot(map[int]record.Member{0: a, 1: b}, living, silent, c, 2)
	require.Equal(t, 0, slot)
	require.Equal(t, map[int]record.Member{0: c, 1: b}, next)
	slot, _ = ChooseSlot(map[int]record.Member{0: a, 1: b}, living, SilentHolders{}, c, 2)
	require.Equal(t, -1, slot)
}
