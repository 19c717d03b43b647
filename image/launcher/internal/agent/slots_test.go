package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/observe"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
	_ "github.com/redis-ha/redis-ha/tests/seed"
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
func taker(api *kube.Client, pod string, n int) *slotTaker {
	return &slotTaker{api: api, self: member(pod), n: n, log: quiet, answers: func(context.Context, kube.Pod) bool { return true }}
}

// lose leaves a pod as the API has it when its node is lost: terminating beyond its grace period.
func lose(t *testing.T, server *fakeapi.Server, pod string, ago time.Duration) {
	require.NoError(t, server.MarkDeleted(pod, -ago))
}

func TestSlotOfALostPodIsTakenWhenItHasBeenSilentForLong(t *testing.T) {
	server := release(t, "sentinel-a", "sentinel-b", "sentinel-c")
	api := connect(t, server, settings(t, server, "sentinel-c"))
	for _, name := range []string{"sentinel-a", "sentinel-b"} {
		_, _, err := taker(api, name, 2).take(t.Context())
		require.NoError(t, err)
	}
	answer, asked := true, map[string]int{}
	next := taker(api, "sentinel-c", 2)
	next.answers = func(_ context.Context, pod kube.Pod) bool { asked[pod.Name]++; return answer }
	take := func() (int, error) {
		next.askedAt = next.askedAt.Add(-lostLook)
		slot, _, err := next.take(t.Context())
		return slot, err
	}
	requireNone := func(looks int, why string) {
		t.Helper()
		for range looks {
			_, err := take()
			require.ErrorIs(t, err, errNoSlot, why)
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
	_, _, err := next.take(t.Context())
	require.ErrorIs(t, err, errNoSlot, "two looks in a moment count once")
	slot, err := take()
	require.NoError(t, err)
	require.Equal(t, 1, slot)
	require.Empty(t, asked["sentinel-a"])
	require.NoError(t, releaseSlot(t.Context(), api, member("sentinel-b")))
	slots, err := api.Slots(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[int]record.Member{0: member("sentinel-a"), 1: member("sentinel-c")}, slots.Holders, "the lost pod cannot give it back")
}

// closedPort is a port of 127.0.0.1 on which nobody listens.
func closedPort(t *testing.T) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestPodAnswersIfItsSentinelOrItsLauncherDoes(t *testing.T) {
	port := func(address string) int { return int(netip.MustParseAddrPort(address).Port()) }
	sentinel := port(fakeredis.Start(t, map[string]string{"SENTINEL MASTER": "-ERR No such master with that name\r\n"}).Addr.String())
	frozen, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer frozen.Close()
	launcher := func(code int) int {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = w.Write([]byte("{}")) }))
		t.Cleanup(server.Close)
		return port(server.Listener.Addr().String())
	}
	for name, c := range map[string]struct {
		sentinel, launcher int
		want               bool
	}{
		"nothing listens":                 {closedPort(t), closedPort(t), false},
		"both are frozen":                 {port(frozen.Addr().String()), port(frozen.Addr().String()), false},
		"the sentinel answers":            {sentinel, closedPort(t), true},
		"the launcher answers":            {closedPort(t), launcher(http.StatusOK), true},
		"the launcher has no status yet":  {closedPort(t), launcher(http.StatusServiceUnavailable), true},
		"the sentinel refuses a password": {port(fakeredis.Start(t, map[string]string{"SENTINEL": "-NOAUTH Authentication required.\r\n"}).Addr.String()), closedPort(t), true},
	} {
		s := &Sentinel{config: config.Config{SentinelPort: c.sentinel, HTTPPort: c.launcher, MasterName: "mymaster"}, links: observe.NewLinks("")}
		require.Equal(t, c.want, s.answers(t.Context(), kube.Pod{IP: netip.MustParseAddr("127.0.0.1")}), name)
	}
	require.False(t, (&Sentinel{}).answers(t.Context(), kube.Pod{}), "it has no address")
}

func TestSentinelOfAPodThatShouldHaveEndedEndsAndGivesItsIdentityBack(t *testing.T) {
	server := release(t, "sentinel-a")
	c := settings(t, server, "sentinel-a")
	registry := prometheus.NewRegistry()
	s := NewSentinel(c, connect(t, server, c), web.New(registry), NewMetrics(registry), quiet)
	_, _, err := s.taker.take(t.Context())
	require.NoError(t, err)
	s.id = "taken"
	child, err := process.Start("sleep", "60")
	require.NoError(t, err)
	s.child = child
	require.False(t, s.outlived())
	lose(t, server, "sentinel-a", time.Minute)
	require.Eventually(t, s.outlived, bound, time.Millisecond)
	require.NoError(t, s.turn(t.Context()))
	<-child.Done()
	require.Empty(t, s.id)
	slots, err := s.api.Slots(t.Context())
	require.NoError(t, err)
	require.Empty(t, slots.Holders)
	require.NoError(t, s.turn(t.Context()))
	require.Empty(t, s.id, "it takes no other one")
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
			slot, slots, err := taker(api, name, 3).take(t.Context())
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
		slot, _, err := taker(api, name, 2).take(t.Context())
		require.NoError(t, err)
		require.Equal(t, i, slot)
	}
	_, _, err := taker(api, "sentinel-c", 2).take(t.Context())
	require.ErrorIs(t, err, errNoSlot)
	require.NoError(t, server.RemovePod("sentinel-b"))
	slot, _, err := taker(api, "sentinel-c", 2).take(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, slot)

	require.NoError(t, releaseSlot(t.Context(), api, member("sentinel-a")))
	require.NoError(t, releaseSlot(t.Context(), api, member("sentinel-a")), "once more does no harm")
	slots, err := api.Slots(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[int]record.Member{1: member("sentinel-c")}, slots.Holders)

	server.Deny("", "get", "leases")
	_, _, err = taker(api, "sentinel-a", 2).take(t.Context())
	require.Error(t, err)
	require.False(t, errors.Is(err, errNoSlot))
	require.Error(t, releaseSlot(t.Context(), api, member("sentinel-a")))
	server.Allow("", "get", "leases")
	server.Deny("", "list", "pods")
	_, _, err = taker(api, "sentinel-a", 2).take(t.Context())
	require.ErrorContains(t, err, `grant the verb "list" on "pods"`, "without the list no holder is known to be gone")
}

func TestIdentityIsStableAndOfTheFormThatSentinelWants(t *testing.T) {
	require.Regexp(t, `^[0-9a-f]{40}$`, sentinelID("cluster", 0))
	require.Equal(t, sentinelID("cluster", 1), sentinelID("cluster", 1))
	require.NotEqual(t, sentinelID("cluster", 1), sentinelID("cluster", 2))
	require.NotEqual(t, sentinelID("cluster", 1), sentinelID("other", 1))
}
