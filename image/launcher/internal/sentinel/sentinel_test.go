package sentinel

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChoiceIsSentinels(t *testing.T) {
	replica := func(host, priority, offset int, id string) KnownReplica {
		return KnownReplica{
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(host)}), 6379), Priority: priority, Offset: int64(offset), RunID: id,
		}
	}
	down := replica(6, 100, 99, "a")
	down.Down = true
	unlinked := replica(7, 100, 99, "a")
	unlinked.Disconnected = true
	for name, c := range map[string]struct {
		known []KnownReplica
		host  int
	}{
		"the most data":            {[]KnownReplica{replica(2, 100, 5, "a"), replica(3, 100, 6, "b")}, 3},
		"before that the priority": {[]KnownReplica{replica(2, 10, 5, "b"), replica(3, 100, 6, "a")}, 2},
		"after that the run ID":    {[]KnownReplica{replica(2, 100, 5, "b"), replica(3, 100, 5, "a")}, 3},
		"nobody without priority":  {[]KnownReplica{replica(2, 0, 9, "a"), replica(3, 100, 5, "b")}, 3},
		"nobody without a link":    {[]KnownReplica{unlinked, replica(3, 100, 5, "b")}, 3},
		"nobody who is down":       {[]KnownReplica{down, replica(3, 100, 5, "b")}, 3},
	} {
		require.Equal(t, byte(c.host), Choice(c.known).As4()[3], name)
	}
	require.False(t, Choice(nil).IsValid())
}

func TestSentinelsForgetTheReplicaThatWasHere(t *testing.T) {
	fresh := KnownReplica{
		Addr: netip.MustParseAddrPort("10.0.0.4:6379"), RunID: "a", Priority: 100, InfoAge: 900 * time.Millisecond, PongAge: 200 * time.Millisecond,
	}
	for name, c := range map[string]struct {
		change func(*KnownReplica)
		want   bool
	}{
		"it has just answered":                               {func(*KnownReplica) {}, true},
		"it would still be chosen without another answer":    {func(r *KnownReplica) { r.InfoAge, r.PongAge = 5*time.Second, 1250*time.Millisecond }, true},
		"it would not be asked with the first ping":          {func(r *KnownReplica) { r.InfoAge, r.PongAge = time.Second, 5*time.Second }, true},
		"it would be asked, and not be chosen before that":   {func(r *KnownReplica) { r.InfoAge, r.PongAge = 1001*time.Millisecond, 1251*time.Millisecond }, false},
		"it was never to be promoted":                        {func(r *KnownReplica) { r.Priority = 0 }, false},
		"the sentinel has heard nothing of it":               {func(r *KnownReplica) { r.RunID = "" }, false},
		"it is another":                                      {func(r *KnownReplica) { r.Addr = netip.MustParseAddrPort("10.0.0.5:6379") }, false},
		"the link of the sentinel is gone, which comes back": {func(r *KnownReplica) { r.Disconnected = true }, true},
	} {
		known := fresh
		c.change(&known)
		other := KnownReplica{Addr: netip.MustParseAddrPort("10.0.0.9:6379"), RunID: "b", Priority: 100}
		require.Equal(t, c.want, PromotesUnasked([]KnownReplica{other, known}, fresh.Addr.Addr()), name)
	}
}
