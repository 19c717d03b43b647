package labels

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeapi"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakerelease"
)

const bound = 10 * time.Second

var (
	quiet    = slog.New(slog.DiscardHandler)
	release  = fakerelease.New
	settings = fakerelease.Config
	connect  = fakerelease.Connect
)

// cacheLag is how long after a write the watched pods do not count; see role.DesiredLabel.
const cacheLag = 2 * time.Second

// pass lets time pass for a labeller.
func pass(l *Labeller, span time.Duration) {
	before := l.now
	l.now = func() time.Time { return before().Add(span) }
}

// labelling gives a labeller of a pod, not yet at work, and counts its writes.
func labelling(t *testing.T, server *fakeapi.Server, pod string) (*Labeller, map[string]int) {
	c := settings(t, server, pod)
	writes := map[string]int{}
	return New(connect(t, server, c), c, quiet, func(result string) { writes[result]++ }), writes
}

// seen waits until the labeller's list of pods shows what the API has.
func seen(t *testing.T, l *Labeller, roleLabel string) {
	t.Helper()
	shown(t, l, roleLabel)
	pass(l, cacheLag) // the list is believed again
}

func shown(t *testing.T, l *Labeller, roleLabel string) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, pod := range l.api.Pods() {
			if pod.UID == l.config.PodUID {
				return pod.Role == roleLabel
			}
		}
		return false
	}, bound, time.Millisecond)
}

func take(t *testing.T, server *fakeapi.Server, pod string) {
	require.NoError(t, server.UpdatePod(pod, func(p *corev1.Pod) { delete(p.Labels, kube.RoleLabel) }))
}

func TestLabelsOfAPodAreWrittenAsDesired(t *testing.T) {
	server := release(t, "server-a", "sentinel-a")
	l, writes := labelling(t, server, "server-a")
	require.NoError(t, l.apply(t.Context()))
	require.Empty(t, writes, "without a look nothing is written")

	l.Want(role.Master, "0123456789abcdef", l.now())
	require.NoError(t, l.apply(t.Context()))
	pod := server.Pod("server-a")
	require.Equal(t, map[string]string{"app": "redis-ha", "component": "server", "redis-role": "master", "podIP": "127.0.0.10", "runID": "012345"}, pod.Labels)
	require.Equal(t, "100", pod.Annotations[kube.DeletionCost])
	require.True(t, l.Done())

	l.Want(role.Slave, "0123456789abcdef", l.now())
	require.False(t, l.Done())
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, "0", server.Pod("server-a").Annotations[kube.DeletionCost])

	l.Want("", "", l.now())
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, map[string]string{"app": "redis-ha", "component": "server", "podIP": "127.0.0.10"}, server.Pod("server-a").Labels)
	require.Equal(t, map[string]int{"ok": 3}, writes)

	l, _ = labelling(t, server, "sentinel-a")
	l.Want(role.Sentinel, "abcdef0", l.now())
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, "sentinel", server.Pod("sentinel-a").Labels[kube.RoleLabel])
	require.Empty(t, server.Pod("sentinel-a").Annotations, "a sentinel has no deletion cost")
	require.Empty(t, server.Unexpected())
}

func TestLabelsThatAreTrueAreNotWrittenAgain(t *testing.T) {
	server := release(t, "server-a")
	l, writes := labelling(t, server, "server-a")
	l.Want(role.Slave, "abcdef", l.now())
	require.NoError(t, l.apply(t.Context()))
	seen(t, l, "slave")
	for range 5 {
		l.Want(role.Slave, "abcdef", l.now())
		require.NoError(t, l.apply(t.Context()))
	}
	require.Equal(t, map[string]int{"ok": 1}, writes)

	next, writes := labelling(t, server, "server-a")
	next.Want(role.Slave, "abcdef", next.now())
	require.NoError(t, next.apply(t.Context()))
	require.Empty(t, writes, "a launcher that starts again finds them true")
	require.True(t, next.Done())
}

func TestLabelsOfAnEarlierProcessOrAddressAreRepaired(t *testing.T) {
	server := release(t, "server-a")
	require.NoError(t, server.UpdatePod("server-a", func(p *corev1.Pod) {
		p.Labels[kube.RoleLabel], p.Labels[kube.PodIPLabel], p.Labels[kube.RunIDLabel] = "slave", "10.9.9.9", "abcdef"
	}))
	l, _ := labelling(t, server, "server-a")
	l.Want(role.Slave, "abcdef", l.now())
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, "127.0.0.10", server.Pod("server-a").Labels[kube.PodIPLabel])
}

func TestLabelThatSomebodyTookIsWrittenAgainOnlyWhileItIsDesired(t *testing.T) {
	server := release(t, "server-a")
	l, writes := labelling(t, server, "server-a")
	l.Want(role.Master, "abcdef", l.now())
	require.NoError(t, l.apply(t.Context()))
	seen(t, l, "master")
	take(t, server, "server-a")
	seen(t, l, "")
	l.Hold(l.now())
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, 1, writes["ok"], "an uncertain launcher leaves the label as it is")
	l.Want(role.Master, "abcdef", l.now())
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, "master", server.Pod("server-a").Labels[kube.RoleLabel])
}

// A pod that has stood still wakes up with the desire of the moment before.
func TestDesireToBeMasterIsForgottenWhenItIsOlderThanAFailoverTakes(t *testing.T) {
	server := release(t, "server-a")
	l, writes := labelling(t, server, "server-a")
	l.Want(role.Master, "abcdef", l.now().Add(-l.config.DownAfter-time.Millisecond))
	require.NoError(t, l.apply(t.Context()))
	require.Empty(t, writes)
	l.Want(role.Master, "abcdef", l.now())
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, "master", server.Pod("server-a").Labels[kube.RoleLabel])
	shown(t, l, "master")
	later := l.now().Add(time.Millisecond)
	l.Want("", "", later)
	l.now = func() time.Time { return later.Add(time.Hour) }
	require.NoError(t, l.apply(t.Context()))
	require.Empty(t, server.Pod("server-a").Labels[kube.RoleLabel], "to be nothing is safe at any age")
}

func TestFailedWriteIsTriedAgain(t *testing.T) {
	server := release(t, "server-a")
	l, _ := labelling(t, server, "server-a")
	server.Deny("", "patch", "pods")
	l.Want(role.Slave, "abcdef", l.now())
	require.ErrorContains(t, l.apply(t.Context()), `grant the verb "patch" on "pods"`)
	require.False(t, l.Done())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run(ctx) }()
	time.Sleep(50 * time.Millisecond)
	server.Allow("", "patch", "pods")
	require.Eventually(t, l.Done, bound, 5*time.Millisecond)
	began := time.Now()
	l.Want(role.Master, "abcdef", l.now())
	require.Eventually(t, l.Done, bound, time.Millisecond)
	require.Less(t, time.Since(began), 500*time.Millisecond, "a new label is written at once")
	cancel()
	<-ended
}

func TestLabelMasterIsToldOfOnceItIsWritten(t *testing.T) {
	server := release(t, "server-a")
	l, _ := labelling(t, server, "server-a")
	told := 0
	l.OnMaster = func(context.Context) {
		told++
		require.Equal(t, "master", server.Pod("server-a").Labels[kube.RoleLabel])
	}
	l.Want(role.Slave, "abcdef", l.now())
	require.NoError(t, l.apply(t.Context()))
	require.Zero(t, told)
	server.Deny("", "patch", "pods")
	l.Want(role.Master, "abcdef", l.now())
	require.Error(t, l.apply(t.Context()))
	require.Zero(t, told, "the API has not accepted it")
	server.Allow("", "patch", "pods")
	require.NoError(t, l.apply(t.Context()))
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, 1, told)
	l.Want(role.Slave, "abcdef", l.now())
	require.NoError(t, l.apply(t.Context()))
	l.Want(role.Master, "abcdef", l.now())
	l.count = func(string) { l.Want(role.Slave, "abcdef", l.now()) }
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, 1, told, "it is not to be master any more")
}

func TestLabellerThatIsToBeMasterSaysSo(t *testing.T) {
	server := release(t, "server-a")
	l, _ := labelling(t, server, "server-a")
	require.False(t, l.WantsMaster(), "without a look")
	l.Want(role.Master, "abcdef", l.now())
	require.True(t, l.WantsMaster())
	l.Hold(l.now())
	require.False(t, l.WantsMaster(), "it is uncertain")
	l.Want(role.Slave, "abcdef", l.now())
	require.False(t, l.WantsMaster())
	l.Want(role.Master, "abcdef", l.now().Add(-l.config.DownAfter-time.Millisecond))
	require.False(t, l.WantsMaster(), "it has stood still")
}

func TestAddressIsALabelValueInEveryForm(t *testing.T) {
	server := release(t, "server-a")
	l, _ := labelling(t, server, "server-a")
	for i, address := range []string{"fd00::1", "::1", "fd00::"} {
		l.config.PodIP = netip.MustParseAddr(address)
		l.Want(role.Slave, fmt.Sprint(i), l.now())
		pass(l, cacheLag)
		require.NoError(t, l.apply(t.Context()), address)
		require.Regexp(t, `^[0-9a-z]([-.0-9a-z]*[0-9a-z])?$`, server.Pod("server-a").Labels[kube.PodIPLabel])
	}
}

// A look that began before another pod took the label saw less than that pod.
func TestLabelThatAnotherPodTookIsWrittenAgainAfterANewLookOnly(t *testing.T) {
	server := release(t, "server-a")
	l, writes := labelling(t, server, "server-a")
	before := l.now()
	l.Want(role.Master, "abcdef", before)
	require.NoError(t, l.apply(t.Context()))
	take(t, server, "server-a")
	require.True(t, l.Disown())
	l.Want(role.Master, "abcdef", before)
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, map[string]int{"ok": 1}, writes, "nothing is written that was seen before")

	shown(t, l, "")
	l.Want(role.Master, "abcdef", l.now())
	require.NoError(t, l.apply(t.Context()))
	require.Equal(t, "master", server.Pod("server-a").Labels[kube.RoleLabel], "a new look brings the label back at once")

	l.Want("", "", l.now())
	require.False(t, l.Disown(), "this pod gives the label up itself")
}

func TestPodThatIsGoneIsNotLabelledMaster(t *testing.T) {
	server := release(t, "server-a")
	l, _ := labelling(t, server, "server-a")
	l.Want(role.Master, "abcdef", l.now())
	require.NoError(t, l.apply(t.Context()))
	require.NoError(t, server.RemovePod("server-a"))
	require.Eventually(t, l.api.Gone, bound, time.Millisecond)
	require.True(t, l.Disown())
	l.Want(role.Master, "abcdef", l.now())
	require.False(t, l.WantsMaster(), "no look leads to the label again")
	l.Want("", "", l.now())
	require.True(t, l.wanted().Known, "any other label does no harm")
}
