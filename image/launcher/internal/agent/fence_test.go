package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
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

// record writes a record.
func record(t *testing.T, s *Server, want kube.Record) {
	t.Helper()
	now, err := s.api.Record(t.Context())
	require.NoError(t, err)
	now.Master, now.Previous, now.Fence, now.Order, now.Generation = want.Master, want.Previous, want.Fence, want.Order, want.Generation
	_, err = s.api.WriteRecord(t.Context(), now)
	require.NoError(t, err)
}

// The record names the master, its successor and the pod that replaces it. One pod at a time replaces a master.
func TestHandOverIsRecordedOrLeftToOthers(t *testing.T) {
	self := member("server-a")
	for name, c := range map[string]struct {
		record kube.Record
		named  bool
		want   error
	}{
		"this pod is recorded":                                    {kube.Record{Master: self}, true, nil},
		"a fence of an attempt before":                            {kube.Record{Master: self, Fence: &kube.Fence{UID: self.UID, Successor: "uid-server-c"}}, true, nil},
		"another is recorded, and the sentinels name it":          {kube.Record{Master: member("server-b")}, false, errReplaced},
		"the record is old, and the sentinels name this pod":      {kube.Record{Master: member("server-b")}, true, errNotElected},
		"a replica has just ordered a failover":                   {kube.Record{Master: self, Order: &kube.Order{By: "server-b", At: time.Now()}}, true, errReplaced},
		"a replica has fenced it":                                 {kube.Record{Master: self, Fence: &kube.Fence{UID: self.UID, By: "server-b", At: time.Now()}}, true, errReplaced},
		"a replica has ordered a failover long ago, which failed": {kube.Record{Master: self, Order: &kube.Order{By: "server-b", At: time.Now().Add(-orderAge)}}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := launcher(t, release(t, "server-a"), "server-a")
			record(t, s, c.record)
			err := s.fenceFor(t.Context(), "uid-server-b", c.named)
			require.ErrorIs(t, err, c.want)
			now, errRead := s.api.Record(t.Context())
			require.NoError(t, errRead)
			if c.want == nil {
				require.Equal(t, "uid-server-b", now.Fence.Successor)
			} else {
				require.Equal(t, c.record.Fence == nil, now.Fence == nil, "nothing is written")
			}
		})
	}
}

// A replica that has not answered the order to become master takes the label by the fence when it goes on.
func TestWritesGoOnAfterAnAbortedHandOverOnlyWithoutTheFence(t *testing.T) {
	for name, c := range map[string]struct {
		record             kube.Record
		denied, unanswered bool
		resumed            bool
	}{
		"nobody was told": {kube.Record{Master: member("server-a")}, false, false, true},
		"nobody was told, and the API does not take it back": {kube.Record{Master: member("server-a")}, true, false, true},
		"a replica has not answered":                         {kube.Record{Master: member("server-a")}, false, true, true},
		"and the API does not take it back":                  {kube.Record{Master: member("server-a")}, true, true, false},
		"the successor has written itself into the record":   {kube.Record{Master: member("server-b"), Previous: member("server-a")}, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			redis := speak(t, map[string]string{"CLIENT UNPAUSE": "+OK\r\n"})
			server := release(t, "server-a")
			s := launcher(t, server, "server-a")
			s.config.PodIP, s.config.RedisPort = redis.addr.Addr(), int(redis.addr.Port())
			s.child = &process.Child{}
			s.labels.want(role.Master, "abcdef", time.Now())
			c.record.Fence = &kube.Fence{UID: s.self.UID, Successor: "uid-server-b"}
			record(t, s, c.record)
			if c.denied {
				server.Deny("server-a", "update", "leases")
			}
			err := s.abortHandOver(t.Context(), c.unanswered)
			require.Equal(t, c.resumed, err == nil, "%v", err)
			require.Equal(t, c.resumed, slices.Contains(redis.heard(), "CLIENT UNPAUSE"))
			if !c.resumed {
				require.Len(t, s.hold.ordered, 1, "writes are held back beside the loop")
			}
			require.Equal(t, !c.resumed, s.hold.unanswered.Load())
		})
	}
}

// A pod that was promoted and dies before it is in the record is no pod that has been replaced.
func TestDeadPodIsFencedUnlessItHasBeenReplaced(t *testing.T) {
	self, other := member("server-a"), member("server-b")
	for name, c := range map[string]struct {
		record kube.Record
		want   error
	}{
		"it is recorded":           {kube.Record{Master: self}, nil},
		"it was never recorded":    {kube.Record{Master: other}, nil},
		"it has been replaced":     {kube.Record{Master: other, Previous: self}, errReplaced},
		"it has replaced the next": {kube.Record{Master: other, Previous: self, Fence: &kube.Fence{UID: other.UID, At: time.Now()}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := launcher(t, release(t, "server-a"), "server-a")
			record(t, s, c.record)
			require.ErrorIs(t, s.fence(t.Context(), self.UID, "it has ended"), c.want)
		})
	}
}
