package succession

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakerelease"
)

// Both may have read the record before either has written it.
func TestOrderThatWasRecordedMeanwhileIsNotGivenAgain(t *testing.T) {
	server := fakerelease.New(t, "server-a", "server-b")
	a, b := launcher(t, server, "server-a", 0), launcher(t, server, "server-b", 0)
	errs := make(chan error, 2)
	for _, c := range []Carrier{a, b} {
		go func() {
			_, err := c.OrderFailover(t.Context(), record.Record{})
			errs <- err
		}()
	}
	first, second := <-errs, <-errs
	require.True(t, (first == nil) != (second == nil), "%v, %v", first, second)
}

func TestFenceOfASilentMasterThatIsNotReplacedIsTakenBack(t *testing.T) {
	c := launcher(t, fakerelease.New(t, "server-a"), "server-a", 0)
	fakerelease.SetRecord(t, c.api, record.Record{Master: fakerelease.Member("server-b"), Fence: &record.Fence{UID: "uid-server-b", By: "server-a"}})
	silent := Lost{Recorded: func(record.Record) {}}
	silent.Member, silent.Silent = fakerelease.Member("server-b"), true
	require.NoError(t, c.withdraw(t.Context(), silent))
	now, err := c.api.Record(t.Context())
	require.NoError(t, err)
	require.Nil(t, now.Fence)
	require.NoError(t, c.withdraw(t.Context(), silent), "the record has no fence")
}
