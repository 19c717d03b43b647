package e2e

import (
	"bufio"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

const (
	// apiOutage is longer than Sentinel needs for a failover, and shorter than
	// the 10 s after which the controllers of Kubernetes give up and restart.
	apiOutage = 9 * time.Second
	// outageDelay is from asking for the outage to its begin: what asks needs the API, too.
	outageDelay = 10 * time.Second
)

// Redis dies about a second after the API has stopped to answer, so nobody can write
// a label, a fence or a record before the failover is over.
func TestFailoverWhileTheAPIStandsStillIsLabelledAfterwards(t *testing.T) {
	r := documentedRelease(t)
	before := r.master(t)
	client := r.write(t)
	client.advance(100)
	r.followSentinel(t, outageDelay+2*apiOutage)
	start := time.Now().Add(outageDelay)
	require.NoError(t, env.KillRedisLater(t.Context(), before, time.Until(start)+time.Second))
	require.NoError(t, env.PauseAPI(t.Context(), time.Until(start), apiOutage))
	time.Sleep(time.Until(start.Add(apiOutage)))
	r.waitMaster(t, "another pod", func(master *corev1.Pod) bool { return master.UID != before.UID })
	after := r.master(t)
	eventually(t, recoveryTime, "a complete release after the outage", r.healthy)
	t.Logf("since the begin of the outage:\n%s", r.watcher.history(start))
	require.Equal(t, after.UID, r.master(t).UID, "the master that was labelled first")

	reached := r.sentinelReached(t, before)
	t.Logf("a client that speaks Sentinel wrote to another master %.1f s after the API had stopped", reached.Sub(start).Seconds())
	require.Less(t, reached.Sub(start), apiOutage, "a write by way of Sentinel comes before the API is back")
	client.advance(100)
	client.costs(outage{gap: apiOutage + silent.gap, lost: silent.lost})
}

const sentinelClientFile = "/client/by-sentinel"

// followSentinel starts a client in the cluster that asks Sentinel for the
// master before each write, for a time. It needs no API, and writes down what happens.
func (r *release) followSentinel(t *testing.T, span time.Duration) {
	t.Helper()
	require.Empty(t, r.password, "the client knows no password")
	script := `(end=$((SECONDS + $2)); while [ $SECONDS -lt $end ]; do
master=$(timeout 1 redis-cli -h "$1" -p 26379 sentinel get-master-addr-by-name "$4" | head -1)
echo "$EPOCHREALTIME $master $(timeout 1 redis-cli -h "${master:-none}" set by-sentinel 1 2>&1)"; sleep 0.1
done) >"$3" 2>&- <&- &`
	_, err := env.Execute(t.Context(), workNamespace, clientPod, nil, "bash", "-c", script, "by-sentinel",
		r.fullname()+"-sentinel."+r.namespace, strconv.Itoa(int(span.Seconds())), sentinelClientFile, masterName)
	require.NoError(t, err)
}

// sentinelReached tells when that client first wrote to another server.
func (r *release) sentinelReached(t *testing.T, than *corev1.Pod) time.Time {
	t.Helper()
	said, err := env.Execute(t.Context(), workNamespace, clientPod, nil, "cat", sentinelClientFile)
	require.NoError(t, err)
	for lines := bufio.NewScanner(strings.NewReader(said)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) != 3 || words[1] == than.Status.PodIP || words[2] != "OK" {
			continue
		}
		seconds, err := strconv.ParseFloat(words[0], 64)
		require.NoError(t, err)
		return time.UnixMicro(int64(seconds * 1e6))
	}
	require.Failf(t, "the client that speaks Sentinel never reached another master", "what it wrote down:\n%s", said)
	return time.Time{}
}
