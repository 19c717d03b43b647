package agent

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
)

// Two failovers that are ordered in the same moment take the same epoch, and may
// promote two replicas.
func TestOnlyOneReplicaOrdersAFailoverOfAMasterThatIsDown(t *testing.T) {
	server := release(t, "server-a", "server-b")
	a, b := launcher(t, server, "server-a"), launcher(t, server, "server-b")
	const pause = 10 * time.Second
	require.NoError(t, a.takeOrder(t.Context(), pause))
	require.ErrorContains(t, b.takeOrder(t.Context(), pause), "server-a has just told a sentinel")
	require.ErrorContains(t, a.takeOrder(t.Context(), pause), "server-a has just told a sentinel", "nor the same one again")
	require.NoError(t, b.takeOrder(t.Context(), 0), "but when it has had its time")

	record, err := a.api.Record(t.Context())
	require.NoError(t, err)
	record, err = takeRecordAt(t.Context(), a.api, record, member("server-a"), 0)
	require.NoError(t, err)
	require.Nil(t, record.Order, "the order is carried out")

	record.Fence = &kube.Fence{UID: "uid-server-a", Reason: "redis-server has ended", At: time.Now()}
	_, err = a.api.WriteRecord(t.Context(), record)
	require.NoError(t, err)
	require.ErrorContains(t, b.takeOrder(t.Context(), pause), "redis-server has ended")
}

// Both may have read the record before either has written it.
func TestOrderThatWasRecordedMeanwhileIsNotGivenAgain(t *testing.T) {
	server := release(t, "server-a", "server-b")
	a, b := launcher(t, server, "server-a"), launcher(t, server, "server-b")
	errs := make(chan error, 2)
	for _, s := range []*Server{a, b} {
		go func() { errs <- s.takeOrder(t.Context(), 10*time.Second) }()
	}
	first, second := <-errs, <-errs
	require.True(t, (first == nil) != (second == nil), "%v, %v", first, second)
}
