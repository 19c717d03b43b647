package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakerelease"
)

// keepInRecord writes a record.
func keepInRecord(t *testing.T, s *Server, want record.Record) {
	t.Helper()
	fakerelease.SetRecord(t, s.api, want)
}

// The votes of the sentinels keep others from replacing a master whose hand-over is not recorded.
func TestHandOverGoesOnWithoutTheRecordUnlessSomebodyElseReplacesTheMaster(t *testing.T) {
	server := release(t, "server-a")
	s := launcher(t, server, "server-a")
	keepInRecord(t, s, record.Record{Master: member("server-b")})
	recorded, err := s.recordHandOver(t.Context(), "uid-server-b", true)
	require.NoError(t, err, "the record is old, and the sentinels name this pod")
	require.False(t, recorded)
	_, err = s.recordHandOver(t.Context(), "uid-server-b", false)
	require.ErrorIs(t, err, errReplaced)
	keepInRecord(t, s, record.Record{Master: s.self})
	server.Deny("server-a", "update", "leases")
	recorded, err = s.recordHandOver(t.Context(), "uid-server-b", true)
	require.NoError(t, err, "the API does not record it")
	require.False(t, recorded)
	require.Nil(t, s.memory.Record.Fence)
}

func TestHandOverIsRecordedByOneRequestWhereTheRememberedRecordIsCurrent(t *testing.T) {
	server := release(t, "server-a", "server-b")
	s := launcher(t, server, "server-a")
	keepInRecord(t, s, record.Record{Master: s.self, Generation: 3})
	current, err := s.api.Record(t.Context())
	require.NoError(t, err)
	s.setRecord(current)
	leases := func(since time.Time) int {
		n := 0
		for _, r := range server.Requests(since) {
			if r.Resource == "leases" {
				n++
			}
		}
		return n
	}
	began := time.Now()
	require.NoError(t, s.fenceFor(t.Context(), "uid-server-b", true))
	require.Equal(t, 1, leases(began))

	// Somebody else writes the record: what is remembered is old.
	other := launcher(t, server, "server-b")
	keepInRecord(t, other, record.Record{Master: s.self, Generation: 4})
	require.NoError(t, s.fenceFor(t.Context(), "uid-server-b", true))
	require.EqualValues(t, 4, s.memory.Record.Generation)
	keepInRecord(t, other, record.Record{Master: other.self, Generation: 5})
	require.ErrorIs(t, s.fenceFor(t.Context(), "uid-server-b", false), errReplaced)
}

// A replica that has not answered the order to become master takes the label by the fence when it goes on.
func TestWritesGoOnAfterAnAbortedHandOverOnlyWithoutTheFence(t *testing.T) {
	for name, c := range map[string]struct {
		record             record.Record
		denied, unanswered bool
		resumed            bool
	}{
		"nobody was told": {record.Record{Master: member("server-a")}, false, false, true},
		"nobody was told, and the API does not take it back": {record.Record{Master: member("server-a")}, true, false, true},
		"a replica has not answered":                         {record.Record{Master: member("server-a")}, false, true, true},
		"and the API does not take it back":                  {record.Record{Master: member("server-a")}, true, true, false},
		"the successor has written itself into the record":   {record.Record{Master: member("server-b"), Previous: member("server-a")}, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			redis := fakeredis.Start(t, map[string]string{"CLIENT UNPAUSE": "+OK\r\n"})
			server := release(t, "server-a")
			s := launcher(t, server, "server-a")
			s.config.PodIP, s.config.RedisPort = redis.Addr.Addr(), int(redis.Addr.Port())
			s.child = &process.Child{}
			s.labels.Want(role.Master, "abcdef", time.Now())
			s.guard = s.newGuard()
			c.record.Fence = &record.Fence{UID: s.self.UID, Successor: "uid-server-b"}
			keepInRecord(t, s, c.record)
			if c.denied {
				server.Deny("server-a", "update", "leases")
			}
			err := s.abortHandOver(t.Context(), c.unanswered)
			require.Equal(t, c.resumed, err == nil, "%v", err)
			require.Equal(t, c.resumed, slices.Contains(redis.Heard(), "CLIENT UNPAUSE"))
			if !c.resumed {
				require.True(t, s.guard.Threats().Any(), "writes are paused beside the loop")
			}
			require.Equal(t, !c.resumed, s.guard.Threats().Unanswered)
		})
	}
}
