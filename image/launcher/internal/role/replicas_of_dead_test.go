package role

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Offsets of two histories cannot be compared: a replica that stood still while its master was replaced twice may
// have more of an old one.
func TestReplicasOfADeadMasterHaveItsHistory(t *testing.T) {
	replica := func(id string, offset int64) func(*Peer) {
		return func(p *Peer) { p.Offset, p.History = offset, History{ID: id} }
	}
	o := observe(sentinels("a a a"), peer("b", linkDown, replica("old", 900)), peer("c", linkDown, replica("new", 20)), peer("d", linkDown, replica("new", 30)))
	chosen := func(history string) (names []string) {
		for _, r := range o.Replicas(history) {
			names = append(names, o.peerAt(r.IP).Name)
		}
		return names
	}
	require.Equal(t, []string{"server-d", "server-c"}, chosen("new"))
	require.Equal(t, []string{"server-b"}, chosen("old"))
	require.Empty(t, chosen(""), "nobody knows which is the master's")
	o.Peers = o.Peers[1:]
	require.Equal(t, []string{"server-d", "server-c"}, chosen(""))
}
