package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube/kubetest"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
	_ "github.com/redis-ha/redis-ha/tests/seed"
)

var (
	quiet    = kubetest.Quiet
	release  = kubetest.Release
	settings = kubetest.Settings
	connect  = kubetest.Connect
	member   = kubetest.Member
)

func TestSlotOfALivingPodIsNeverTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "sentinels")
		anyPod := rapid.Map(rapid.IntRange(0, 6), func(i int) string { return fmt.Sprint("sentinel-", i) })
		holders := map[int]record.Member{}
		for i := range n + 1 { // one is left over from a release with more sentinels
			if rapid.Bool().Draw(t, "held") {
				holders[i] = member(anyPod.Draw(t, fmt.Sprint("holder of ", i)))
			}
		}
		self := member(anyPod.Draw(t, "self"))
		var pods []kube.Pod
		alive := map[string]bool{self.UID: true}
		for _, pod := range rapid.SliceOfDistinct(anyPod, rapid.ID).Draw(t, "living") {
			pods = append(pods, kube.Pod{Name: pod, UID: "uid-" + pod})
			alive["uid-"+pod] = true
		}
		lost := map[string]bool{}
		for _, pod := range rapid.SliceOfDistinct(anyPod, rapid.ID).Draw(t, "lost") {
			lost["uid-"+pod] = "uid-"+pod != self.UID
		}
		before := maps.Clone(holders)
		slot, changed := chooseSlot(holders, pods, lost, self, n)

		for i, holder := range before {
			if alive[holder.UID] && holders[i] != holder {
				t.Fatalf("%s lives and has lost slot %d", holder.Name, i)
			}
			if !alive[holder.UID] && holders[i] == holder {
				t.Fatalf("%s is gone and keeps slot %d", holder.Name, i)
			}
		}
		switch held, taken := before[slot]; {
		case slot < 0:
			for i := range n {
				if holder, ok := before[i]; !ok || !alive[holder.UID] || lost[holder.UID] || holder.UID == self.UID {
					t.Fatalf("slot %d was to be had", i)
				}
			}
		case slot >= n:
			t.Fatalf("slot %d of %d", slot, n)
		case taken && alive[held.UID] && held.UID != self.UID && !lost[held.UID]:
			t.Fatalf("slot %d belongs to %s, which lives", slot, held.Name)
		case taken && alive[held.UID] && held.UID != self.UID:
			for i := range n {
				if holder, ok := before[i]; !ok || !alive[holder.UID] || holder.UID == self.UID {
					t.Fatalf("slot %d of a lost pod is taken, and slot %d was free", slot, i)
				}
			}
		case held != self && !changed:
			t.Fatal("a new slot is not to be written")
		}
	})
}

func TestPodKeepsItsSlotAndWritesNothing(t *testing.T) {
	self := member("sentinel-a")
	holders := map[int]record.Member{1: self}
	slot, changed := chooseSlot(holders, nil, nil, self, 3)
	require.Equal(t, 1, slot)
	require.False(t, changed)
	self.IP = "127.0.0.99"
	slot, changed = chooseSlot(holders, nil, nil, self, 3)
	require.Equal(t, 1, slot)
	require.True(t, changed, "its address is another one now")
}

// taker takes one of n slots for a pod of a release whose pods all answer.
func taker(api *kube.Client, pod string, n int) *Taker {
	return New(api, member(pod), n, func(context.Context, kube.Pod) bool { return true }, quiet)
}

// lose leaves a pod as the API has it when its node is lost: terminating beyond its grace period.
func lose(t *testing.T, server *fakeapi.Server, pod string, ago time.Duration) {
	require.NoError(t, server.MarkDeleted(pod, -ago))
}

func TestSlotOfALostPodIsTakenWhenItHasBeenSilentForLong(t *testing.T) {
	server := release(t, "sentinel-a", "sentinel-b", "sentinel-c")
	api := connect(t, server, settings(t, server, "sentinel-c"))
	for _, name := range []string{"sentinel-a", "sentinel-b"} {
		_, _, err := taker(api, name, 2).Take(t.Context())
		require.NoError(t, err)
	}
	answer, asked := true, map[string]int{}
	next := taker(api, "sentinel-c", 2)
	next.answers = func(_ context.Context, pod kube.Pod) bool { asked[pod.Name]++; return answer }
	take := func() (int, error) {
		next.askedAt = next.askedAt.Add(-lostLook)
		slot, _, err := next.Take(t.Context())
		return slot, err
	}
	requireNone := func(looks int, why string) {
		t.Helper()
		for range looks {
			_, err := take()
			require.ErrorIs(t, err, ErrNoSlot, why)
		}
	}
	answer = false
	requireNone(lostLooks+1, "both pods are to stay")
	lose(t, server, "sentinel-b", 8*time.Second) // the API tells whole seconds
	requireNone(lostLooks+1, "clocks may differ by so much")
	require.Empty(t, asked)

	lose(t, server, "sentinel-b", 20*time.Second)
	answer = true
	requireNone(lostLooks+1, "it answers")
	answer = false
	requireNone(lostLooks-1, "it has not been silent for long")
	answer = true
	requireNone(1, "it answers again")
	answer = false
	requireNone(lostLooks-1, "the silence counts from its beginning")
	next.askedAt = time.Now()
	_, _, err := next.Take(t.Context())
	require.ErrorIs(t, err, ErrNoSlot, "two looks in a moment count once")
	slot, err := take()
	require.NoError(t, err)
	require.Equal(t, 1, slot)
	require.Empty(t, asked["sentinel-a"])
	require.NoError(t, taker(api, "sentinel-b", 2).Release(t.Context()))
	slots, err := api.Slots(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[int]record.Member{0: member("sentinel-a"), 1: member("sentinel-c")}, slots.Holders, "the lost pod cannot give it back")
}

func TestPodsThatStartTogetherGetDifferentSlots(t *testing.T) {
	names := []string{"sentinel-a", "sentinel-b", "sentinel-c"}
	server := release(t, names...)
	got := make([]int, len(names))
	var apis []*kube.Client
	for _, name := range names {
		apis = append(apis, connect(t, server, settings(t, server, name)))
	}
	server.SetLatency(10 * time.Millisecond) // all have read before the first writes
	var wait sync.WaitGroup
	for i, name := range names {
		api := apis[i]
		wait.Go(func() {
			slot, slots, err := taker(api, name, 3).Take(t.Context())
			if err != nil || slots.Holders[slot] != member(name) {
				t.Errorf("%s: slot %d of %v, %v", name, slot, slots, err)
			}
			got[i] = slot
		})
	}
	wait.Wait()
	require.ElementsMatch(t, []int{0, 1, 2}, got)
	require.Empty(t, server.Unexpected())
}

func TestSlotIsFreeWhenItsPodIsGoneOrGivesItBack(t *testing.T) {
	server := release(t, "sentinel-a", "sentinel-b", "sentinel-c")
	api := connect(t, server, settings(t, server, "sentinel-a"))
	for i, name := range []string{"sentinel-a", "sentinel-b"} {
		slot, _, err := taker(api, name, 2).Take(t.Context())
		require.NoError(t, err)
		require.Equal(t, i, slot)
	}
	_, _, err := taker(api, "sentinel-c", 2).Take(t.Context())
	require.ErrorIs(t, err, ErrNoSlot)
	require.NoError(t, server.RemovePod("sentinel-b"))
	slot, _, err := taker(api, "sentinel-c", 2).Take(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, slot)

	require.NoError(t, taker(api, "sentinel-a", 2).Release(t.Context()))
	require.NoError(t, taker(api, "sentinel-a", 2).Release(t.Context()), "once more does no harm")
	slots, err := api.Slots(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[int]record.Member{1: member("sentinel-c")}, slots.Holders)

	server.Deny("", "get", "leases")
	_, _, err = taker(api, "sentinel-a", 2).Take(t.Context())
	require.Error(t, err)
	require.False(t, errors.Is(err, ErrNoSlot))
	require.Error(t, taker(api, "sentinel-a", 2).Release(t.Context()))
	server.Allow("", "get", "leases")
	server.Deny("", "list", "pods")
	_, _, err = taker(api, "sentinel-a", 2).Take(t.Context())
	require.ErrorContains(t, err, `grant the verb "list" on "pods"`, "without the list no holder is known to be gone")
}

func TestIdentityIsStableAndOfTheFormThatSentinelWants(t *testing.T) {
	require.Regexp(t, `^[0-9a-f]{40}$`, ID("cluster", 0))
	require.Equal(t, ID("cluster", 1), ID("cluster", 1))
	require.NotEqual(t, ID("cluster", 1), ID("cluster", 2))
	require.NotEqual(t, ID("cluster", 1), ID("other", 1))
}
