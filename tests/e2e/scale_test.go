package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestScaleToFiveServersAndBackLosesNothing(t *testing.T) {
	r := documentedRelease(t)
	client := r.write(t)
	for _, servers := range []int{5, 3} {
		r.scaleServers(t, servers)
		eventually(t, recoveryTime, "all to agree after the change", r.healthy)
		client.advance(100)
	}
	client.costs(planned)
	took := eventually(t, recoveryTime, "the sentinels to forget the servers that are gone", r.tidy)
	t.Logf("nothing of the five servers is left after %.1f s more", took.Seconds())
}

// Each volume goes with its pod: at zero servers the data are gone, and what
// must come back is the service.
func TestScaleToZeroServersAndBackGivesAWorkingService(t *testing.T) {
	r := documentedRelease(t)
	want := r.servers
	r.scaleServers(t, 0)
	took := eventually(t, removalTime, "no server pods", r.hasNoServers)
	t.Logf("no servers after %.1f s", took.Seconds())
	require.Empty(t, r.endpoints(t, "-master-svc"), "endpoints of the master Service")
	r.scaleServers(t, want)
	took = eventually(t, recoveryTime, "a new master and its slaves", r.healthy)
	t.Logf("complete and agreed after %.1f s", took.Seconds())
	client := r.write(t)
	time.Sleep(time.Second)
	client.costs(planned)
}
