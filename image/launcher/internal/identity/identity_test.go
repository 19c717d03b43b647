package identity

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakerelease"
)

var (
	quiet    = slog.New(slog.DiscardHandler)
	release  = fakerelease.New
	settings = fakerelease.Config
	connect  = fakerelease.Connect
	member   = fakerelease.Member
)

// taker takes one of n slots for a pod of a release whose pods all answer.
func taker(api *kube.Client, pod string, n int) *Taker {
	return New(api, member(pod), func() int { return n }, func(context.Context, kube.Pod) bool { return true }, quiet)
}

// silentLooks is how many looks find a lost pod silent before its slot is free; see role.SilentHolders.
const silentLooks = 10

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
	now := time.Now()
	next.now = func() time.Time { return now }
	// lose leaves sentinel-b as the API has it when its node is lost: terminating, and its grace period has ended.
	lose := func(ago time.Duration) {
		t.Helper()
		require.NoError(t, server.MarkDeleted("sentinel-b", now.Add(-ago).Sub(time.Now())))
	}
	take := func() (int, error) {
		now = now.Add(time.Second)
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
	requireNone(silentLooks+1, "both pods are to stay")
	lose(7 * time.Second) // the API tells whole seconds
	requireNone(1, "clocks may differ by so much")
	require.Empty(t, asked)

	lose(20 * time.Second)
	answer = true
	requireNone(silentLooks+1, "it answers")
	answer = false
	requireNone(silentLooks-1, "it has not been silent for long")
	answer = true
	requireNone(1, "it answers again")
	answer = false
	requireNone(silentLooks-1, "the silence counts from its beginning")
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
	writes := len(server.Writes(time.Time{}))
	slot, _, err := taker(api, "sentinel-b", 2).Take(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, slot, "a pod keeps its slot")
	require.Len(t, server.Writes(time.Time{}), writes, "and writes nothing")
	_, _, err = taker(api, "sentinel-c", 2).Take(t.Context())
	require.ErrorIs(t, err, ErrNoSlot)
	require.NoError(t, server.RemovePod("sentinel-b"))
	slot, _, err = taker(api, "sentinel-c", 2).Take(t.Context())
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
	require.NotErrorIs(t, err, ErrNoSlot)
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
