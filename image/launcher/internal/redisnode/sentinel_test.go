package redisnode

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/sentinel"
)

func masterReply(flags string) string {
	fields := []string{"name", "mymaster", "ip", "10.0.0.1", "port", "6379", "flags", flags, "config-epoch", "7", "quorum", "2",
		"num-other-sentinels", "2", "down-after-milliseconds", "3000", "failover-timeout", "8000"}
	if strings.Contains(flags, "s_down,") {
		fields = append(fields, "s-down-time", "4567")
	}
	sent := "0"
	if strings.HasSuffix(flags, ",silent") {
		sent = "2345"
	}
	fields = append(fields, "last-ping-sent", sent, "last-ok-ping-reply", "3456")
	return words(append(fields, "odd one out")...)
}

// told are the settings in masterReply.
var told = Settings{Quorum: 2, DownAfter: 3 * time.Second, FailoverTimeout: 8 * time.Second}

func TestSentinelIsToldItsSettingsAtOnce(t *testing.T) {
	addr, commands := fake(t, func(string) string { return "+OK\r\n" })
	require.NoError(t, node(t, addr, "").SetSentinel(t.Context(), "mymaster", told))
	require.Equal(t, []string{"SENTINEL SET mymaster quorum 2 down-after-milliseconds 3000 failover-timeout 8000"}, commands())
}

func TestSentinelsViewOfTheMasterIsRead(t *testing.T) {
	for flags, want := range map[string]MasterView{
		"master":                             {},
		"master,silent":                      {Silent: 2345 * time.Millisecond},
		"master,disconnected":                {Silent: 3456 * time.Millisecond},
		"s_down,master":                      {SubjectiveDown: true, DownFor: 4567 * time.Millisecond},
		"s_down,o_down,master,disconnected":  {SubjectiveDown: true, ObjectiveDown: true, DownFor: 4567 * time.Millisecond, Silent: 3456 * time.Millisecond},
		"master,failover_in_progress":        {FailingOver: true},
		"master,force_failover,not_s_down_x": {},
	} {
		addr, commands := fake(t, func(command string) string {
			if strings.Contains(command, "GET-MASTER") {
				return words("10.0.0.1", "6379")
			}
			return masterReply(flags)
		})
		got, found, err := node(t, addr, "").Master(t.Context(), "mymaster")
		require.NoError(t, err)
		require.True(t, found)
		want.Addr, want.ConfigEpoch, want.Settings, want.Known = netip.MustParseAddrPort("10.0.0.1:6379"), 7, told, 2
		require.Equal(t, want, got, flags)
		require.Equal(t, "SENTINEL MASTER mymaster", commands()[0])
	}
}

// It keeps the old master in SENTINEL MASTER until all replicas have moved.
func TestSentinelThatLeadsAFailoverNamesTheSuccessorOnceItIsPromoted(t *testing.T) {
	addr, _ := fake(t, func(command string) string {
		if strings.Contains(command, "GET-MASTER") {
			return words("10.0.0.2", "6379")
		}
		return masterReply("s_down,o_down,master,failover_in_progress")
	})
	got, found, err := node(t, addr, "").Master(t.Context(), "mymaster")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, MasterView{Addr: netip.MustParseAddrPort("10.0.0.2:6379"), FailingOver: true, Switched: true, ConfigEpoch: 7, Settings: told, Known: 2}, got,
		"it is the old master that is down")
}

func TestSentinelThatWasElectedNamesTheReplicaItHasPromoted(t *testing.T) {
	for flags, want := range map[string]string{
		"s_down,o_down,master,failover_in_progress":                "10.0.0.3",
		"s_down,o_down,master,failover_in_progress,force_failover": "",
		"master,failover_in_progress":                              "",
	} {
		addr, _ := fake(t, func(command string) string {
			switch {
			case strings.Contains(command, "GET-MASTER"):
				return words("10.0.0.1", "6379")
			case strings.Contains(command, "REPLICAS"):
				return list(words("ip", "10.0.0.2", "port", "6379", "flags", "slave", "role-reported", "slave", "master-host", "10.0.0.9", "master-port", "6379"),
					words("ip", "10.0.0.6", "port", "6379", "flags", "slave", "role-reported", "master", "master-host", "?", "master-port", "0"), words("ip", "10.0.0.3", "port", "6379", "flags", "slave,promoted"))
			}
			return masterReply(flags)
		})
		got, _, err := node(t, addr, "").Master(t.Context(), "mymaster")
		require.NoError(t, err)
		wanted, _ := netip.ParseAddr(want)
		require.Equal(t, wanted, got.Promoting, flags)
		require.Equal(t, "10.0.0.3", got.Chosen.String(), flags)
		require.Equal(t, "10.0.0.1", got.Addr.Addr().String(), "the master that it still names")
	}
}

func TestSentinelWithoutTheMasterIsNotAnError(t *testing.T) {
	addr, _ := fake(t, func(string) string { return "-ERR No such master with that name\r\n" })
	_, found, err := node(t, addr, "").Master(t.Context(), "mymaster")
	require.NoError(t, err)
	require.False(t, found)

	_, found, err = node(t, silent(t), "").Master(t.Context(), "mymaster")
	require.Equal(t, Unknown, ReachOf(err))
	require.False(t, found)
}

func TestWhatASentinelRemembersIsRead(t *testing.T) {
	addr, _ := fake(t, func(command string) string {
		if strings.Contains(command, "REPLICAS") {
			return list(words("ip", "10.0.0.2", "port", "6379", "flags", "slave", "role-reported", "slave", "master-host", "10.0.0.9", "master-port", "6379", "master-link-status", "ok",
				"info-refresh", "730", "last-ok-ping-reply", "120"),
				words("ip", "10.0.0.6", "port", "6379", "flags", "slave", "role-reported", "master", "master-host", "?", "master-port", "0"), words("ip", "fd00::3", "port", "6379", "flags", "s_down,slave,disconnected"))
		}
		return list(words("ip", "10.0.0.4", "port", "26379", "runid", "abcd", "flags", "sentinel"),
			words("ip", "10.0.0.5", "port", "26379", "runid", "ef", "flags", "s_down,sentinel"))
	})
	n := node(t, addr, "")
	replicas, err := n.KnownReplicas(t.Context(), "mymaster")
	require.NoError(t, err)
	require.Equal(t, []sentinel.KnownReplica{
		{Addr: netip.MustParseAddrPort("10.0.0.2:6379"), Follows: netip.MustParseAddr("10.0.0.9"), InfoAge: 730 * time.Millisecond, PongAge: 120 * time.Millisecond},
		{Addr: netip.MustParseAddrPort("10.0.0.6:6379"), Master: true},
		{Addr: netip.MustParseAddrPort("[fd00::3]:6379"), Down: true, Disconnected: true},
	}, replicas)
	sentinels, err := n.KnownSentinels(t.Context(), "mymaster")
	require.NoError(t, err)
	require.Equal(t, []KnownSentinel{
		{Addr: netip.MustParseAddrPort("10.0.0.4:26379"), ID: "abcd"}, {Addr: netip.MustParseAddrPort("10.0.0.5:26379"), ID: "ef", Down: true},
	}, sentinels)

	failing := node(t, refusing(t), "")
	_, err = failing.KnownReplicas(t.Context(), "mymaster")
	require.Equal(t, Refused, ReachOf(err))
	_, err = failing.KnownSentinels(t.Context(), "mymaster")
	require.Equal(t, Refused, ReachOf(err))
	_, err = failing.Tilted(t.Context())
	require.Equal(t, Refused, ReachOf(err))
}

func TestReplyOfAnotherShapeIsEmpty(t *testing.T) {
	addr, _ := fake(t, func(string) string { return "+strange\r\n" })
	n := node(t, addr, "")
	view, _, err := n.Master(t.Context(), "mymaster")
	require.NoError(t, err)
	require.False(t, view.Addr.IsValid())
	replicas, err := n.KnownReplicas(t.Context(), "mymaster")
	require.NoError(t, err)
	require.Empty(t, replicas)
	require.Equal(t, map[string]string{"ip": "10.0.0.1"}, stringMap(map[any]any{"ip": "10.0.0.1"}), "the later protocol has maps")
}

func TestTiltIsSeen(t *testing.T) {
	for text, want := range map[string]bool{"# Sentinel\r\nsentinel_tilt:1\r\n": true, "# Sentinel\r\nsentinel_tilt:0\r\n": false, "": false} {
		addr, _ := fake(t, func(string) string { return bulk(text) })
		got, err := node(t, addr, "").Tilted(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	subscribed := make(chan struct{})
	addr, _ := fake(t, func(command string) string {
		if !strings.HasPrefix(command, "subscribe") {
			return "+OK\r\n"
		}
		close(subscribed)
		return list(bulk("subscribe"), bulk("+sdown"), ":1\r\n")
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	n := node(t, addr, "")
	go func() { ended <- n.Watch(ctx, func(Notice) {}, "+sdown") }()
	<-subscribed
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(10 * time.Second):
		t.Fatal("it watches on")
	}
}

func TestMessagesOfASentinelAreDelivered(t *testing.T) {
	addr, commands := fake(t, func(command string) string {
		if !strings.HasPrefix(command, "subscribe") {
			return "+OK\r\n"
		}
		return list(bulk("subscribe"), bulk("+sdown"), ":1\r\n") + list(bulk("subscribe"), bulk("+odown"), ":2\r\n") +
			words("message", "+sdown", "master mymaster 10.0.0.1 6379") + words("message", "+odown", "master mymaster 10.0.0.1 6379 #quorum 2/2")
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var got []Notice
	err := node(t, addr, "").Watch(ctx, func(n Notice) { got = append(got, n) }, "+sdown", "+odown")
	require.ErrorContains(t, err, "subscribe at "+addr.String())
	require.Equal(t, []Notice{
		{"+sdown", "master mymaster 10.0.0.1 6379"}, {"+odown", "master mymaster 10.0.0.1 6379 #quorum 2/2"},
	}, got)
	require.Contains(t, commands(), "subscribe +sdown +odown")
}

func TestSentinelIsAskedForItsVote(t *testing.T) {
	reply := ":0\r\n" + "$4\r\nabcd\r\n" + ":8\r\n"
	addr, commands := fake(t, func(string) string { return "*3\r\n" + reply })
	vote, err := node(t, addr, "").RequestVote(t.Context(), netip.MustParseAddrPort("10.0.0.1:6379"), 9, "ffff")
	require.NoError(t, err)
	require.Equal(t, sentinel.Vote{Leader: "abcd", Epoch: 8}, vote)
	require.Equal(t, "SENTINEL IS-MASTER-DOWN-BY-ADDR 10.0.0.1 6379 9 ffff", commands()[0])

	addr, _ = fake(t, func(string) string { return "*1\r\n:0\r\n" })
	_, err = node(t, addr, "").RequestVote(t.Context(), netip.MustParseAddrPort("10.0.0.1:6379"), 9, "ffff")
	require.ErrorContains(t, err, "has 1 parts instead of 3")
}

func TestElectedMasterIsAnnouncedInTheNameOfASentinelThatIsKnown(t *testing.T) {
	addr, commands := fake(t, func(string) string { return ":1\r\n" })
	as := KnownSentinel{Addr: netip.MustParseAddrPort("10.0.0.5:26379"), ID: "ef"}
	require.NoError(t, node(t, addr, "").Announce(t.Context(), as, "mymaster", netip.MustParseAddrPort("10.0.0.2:6379"), 9))
	require.Equal(t, "PUBLISH __sentinel__:hello 10.0.0.5,26379,ef,9,mymaster,10.0.0.2,6379,9", commands()[0])
}
