package succession

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeredis"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakerelease"
)

// taker is the launcher of server-a, which takes over from server-b, and the record that names server-a. The Redis of server-b is master.
func taker(t *testing.T, answers map[string]string) (c Carrier, master *fakeredis.Server, next Successor, written record.Record) {
	t.Helper()
	release := fakerelease.New(t, "server-a", "server-b")
	old := netip.MustParseAddr("127.0.0.11")
	master = fakeredis.StartAt(t, netip.AddrPortFrom(old, 0).String(), answers)
	c = launcher(t, release, "server-a", int(master.Addr.Port()))
	require.Eventually(t, func() bool { return len(c.api.Pods()) == 2 }, bound, time.Millisecond)
	fakerelease.SetRecord(t, c.api, record.Record{Initialised: true, Generation: 1, Master: fakerelease.Member("server-b")})
	read, err := c.api.Record(t.Context())
	require.NoError(t, err)
	written, err = c.api.WriteRecord(t.Context(), read.Restore(c.self, "backup", time.Now()))
	require.NoError(t, err)
	return c, master, c.Successor(old, c.config.PodIP, nil), written
}

// follow is the order to follow a successor.
func follow(next Successor) string {
	return fmt.Sprintf("REPLICAOF %v %d", next.Addr.Addr(), next.Addr.Port())
}

var obeys = map[string]string{"CONFIG SET": "+OK\r\n", "REPLICAOF": "+OK\r\n", "CLIENT KILL": ":0\r\n"}

func kept(record.Record) error { return nil }

func shown(context.Context) error { return nil }

// tookBack has server-b write itself into the record again.
func tookBack(t *testing.T, c Carrier) {
	t.Helper()
	read, err := c.api.Record(t.Context())
	require.NoError(t, err)
	_, err = c.api.WriteRecord(t.Context(), read.Claim(fakerelease.Member("server-b")).Holding(1))
	require.NoError(t, err)
}

func TestOtherServersAreMovedWhenTheDataOfTheBackupCount(t *testing.T) {
	c, master, next, written := taker(t, obeys)
	show := func(context.Context) error {
		require.Subset(t, master.Heard(), []string{"CONFIG SET replica-serve-stale-data no", follow(next)})
		return nil
	}
	keep := func(record.Record) error {
		require.Empty(t, master.Heard())
		return nil
	}
	now, committed, err := c.serve(t.Context(), Takeover{Keep: keep, Show: show}, next, written)
	require.NoError(t, err)
	require.True(t, committed)
	require.Equal(t, written, now)
}

// The launcher of the former master writes the record again after CarrierPatience. What clients have written since must stay.
func TestTakeoverThatStoodStillLeavesTheMasterThatHasTheRecordAgain(t *testing.T) {
	c, master, next, written := taker(t, obeys)
	slow := func(record.Record) error {
		time.Sleep(time.Until(written.RestoredAt.Add(record.CarrierTime)))
		tookBack(t, c)
		return nil
	}
	_, committed, err := c.serve(t.Context(), Takeover{Keep: slow, Show: shown}, next, written)
	require.ErrorIs(t, err, kube.ErrChanged)
	require.False(t, committed)
	require.Empty(t, master.Heard(), "nobody tells it to follow this pod")
}

func TestSlowDiskHasTheMasterOfBeforeWaitAnew(t *testing.T) {
	c, master, next, written := taker(t, obeys)
	slow := func(record.Record) error {
		time.Sleep(time.Until(written.RestoredAt.Add(record.CarrierTime)))
		return nil
	}
	now, committed, err := c.serve(t.Context(), Takeover{Keep: slow, Show: shown}, next, written)
	require.NoError(t, err)
	require.True(t, committed)
	require.Greater(t, now.RestoredAt, written.RestoredAt)
	require.Contains(t, master.Heard(), follow(next))
}

func TestMasterThatDoesNotObeyAndHasTheRecordAgainStays(t *testing.T) {
	for name, back := range map[string]bool{"it has the record again": true, "it is lost": false} {
		t.Run(name, func(t *testing.T) {
			c, _, next, written := taker(t, map[string]string{"CONFIG SET": "-ERR no\r\n"})
			show := func(context.Context) error {
				if back {
					tookBack(t, c)
				}
				return nil
			}
			_, committed, err := c.serve(t.Context(), Takeover{Keep: kept, Show: show}, next, written)
			require.Equal(t, back, errors.Is(err, kube.ErrChanged), err)
			require.Equal(t, !back, committed)
		})
	}
}

// A server that stood still hears nothing of the end of launcher restore.
func TestNobodyTakesOverAfterTheWordHasEnded(t *testing.T) {
	c := launcher(t, fakerelease.New(t, "server-a", "server-b"), "server-a", 0)
	fakerelease.SetRecord(t, c.api, record.Record{Initialised: true, Generation: 1, Master: fakerelease.Member("server-b")})
	_, committed, err := c.TakeOver(t.Context(), Takeover{Master: fakerelease.Member("server-b"), Backup: "backup", Keep: kept, Show: shown, Until: time.Now().Add(-time.Second)})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.False(t, committed)
	read, err := c.api.Record(t.Context())
	require.NoError(t, err)
	require.Nil(t, read.Fence)
	require.EqualValues(t, 1, read.Generation)
}
