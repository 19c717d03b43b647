package agent

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
)

// A sentinel that is gone without a refusal, as a deleted pod is, once used up
// the time for the servers too: a master that had died then found no replica and
// started again.
func TestServersAnswerWhileASentinelTakesAllTheTimeThereIs(t *testing.T) {
	sentinel, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = sentinel.Close() }()
	replica := speak(t, map[string]string{
		"INFO": text("role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\nslave_repl_offset:7\r\n"),
	})
	s := &Server{
		config: config.Config{
			PodUID: "uid-a", MasterName: "mymaster", RedisPort: int(replica.addr.Port()), HTTPPort: 1,
			SentinelPort: sentinel.Addr().(*net.TCPAddr).Port,
		},
		log: quiet, links: newLinks(""),
	}
	here := netip.MustParseAddr("127.0.0.1")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.False(t, s.ask(ctx, []kube.Pod{
		{Name: "sentinel", UID: "uid-s", IP: here, Sentinel: true, Ready: true},
		{Name: "server-b", UID: "uid-b", IP: here, Server: true, Ready: true},
	}, role.Local{}, false))
	require.Equal(t, role.Unknown, s.observed.views[0].Reach)
	require.Len(t, s.observed.peers, 1)
	require.Equal(t, role.Answered, s.observed.peers[0].Redis)
	require.EqualValues(t, 7, s.observed.peers[0].Offset)
}

// The look that shows a replica in a quiet release that its master is found down asks the other servers,
// the lost master among them. It must not wait for that: a promotion is due.
func TestLookAtAMasterThatIsFoundDownIsShort(t *testing.T) {
	master, err := net.Listen("tcp", "127.0.0.1:0") // it accepts connections and never answers
	require.NoError(t, err)
	defer func() { _ = master.Close() }()
	sentinel := speak(t, map[string]string{"SENTINEL MASTER": masterReply("127.0.0.1", "s_down,master")})
	s := &Server{
		config: config.Config{
			PodUID: "uid-a", MasterName: "mymaster", Sentinels: 1, RedisPort: master.Addr().(*net.TCPAddr).Port, HTTPPort: 1, SentinelPort: int(sentinel.addr.Port()),
		},
		log: quiet, links: newLinks(""),
	}
	here := netip.MustParseAddr("127.0.0.1")
	began := time.Now()
	require.True(t, s.ask(t.Context(), []kube.Pod{
		{Name: "sentinel", UID: "uid-s", IP: here, Sentinel: true, Ready: true},
		{Name: "server-b", UID: "uid-b", IP: here, Server: true, Ready: true},
	}, role.Local{Answering: true, LinkUp: true, Follows: here}, true), "it is still calm")
	require.Less(t, time.Since(began), 2*failoverAsk)
	require.Len(t, s.observed.peers, 1, "they were asked")
}

// A master that stood still has been named before. It must know that when it wakes up.
func TestMasterThatDoesNotAnswerStaysConfirmed(t *testing.T) {
	self := netip.MustParseAddr("10.0.0.1")
	s := &Server{self: record.Member{UID: "uid-a"}, log: quiet}
	s.observed.setRecord(record.Record{Master: s.self})
	named := role.View{Reach: role.Answered, HasMaster: true, Master: self}
	look := func(local role.Local, views ...role.View) role.Local {
		o := role.Observation{Self: role.Member{IP: self}, Sentinels: 1, Views: views, Local: local}
		s.observeAgreement(&o)
		return o.Local
	}
	master := role.Local{Running: true, Answering: true, Master: true}
	require.True(t, look(master, named).Confirmed)
	look(role.Local{Running: true})
	woken := look(master)
	require.True(t, woken.Confirmed)
	require.True(t, woken.Recorded)
	require.False(t, look(role.Local{Running: true, Answering: true}).Confirmed, "a replica is not")
}

// The link that a replica reports may be to a process of its master that has ended.
func TestReplicaAsksForTheHistoryOfItsMasterUntilItKnowsItsGeneration(t *testing.T) {
	master := speak(t, map[string]string{"INFO": text("role:master\r\nmaster_replid:m\r\n")})
	s := &Server{config: config.Config{RedisPort: int(master.addr.Port())}, log: quiet, links: newLinks("")}
	record := func(generation int64) {
		s.observed.setRecord(record.Record{Generation: generation, Master: record.Member{IP: "127.0.0.1"}})
	}
	record(4)
	linked := role.Local{Answering: true, Synced: true, LinkUp: true, Follows: netip.MustParseAddr("127.0.0.1"), History: role.History{ID: "m"}}
	require.False(t, s.ofRecordedMaster(linked), "it has not asked")
	s.askMaster(t.Context(), linked)
	require.True(t, s.ofRecordedMaster(linked))
	ended := linked
	ended.History.ID = "l"
	require.False(t, s.ofRecordedMaster(ended), "the process that it was linked to had another history")

	require.Zero(t, s.observed.told.AtLeast, "its launcher does not answer")

	s.observed.worth.Standing = role.Standing{Generation: 4}
	asked := s.observed.askedAt
	s.observed.askedAt = asked.Add(-time.Minute)
	s.askMaster(t.Context(), linked)
	require.Equal(t, asked.Add(-time.Minute), s.observed.askedAt, "it knows")
	record(5)
	require.False(t, s.ofRecordedMaster(linked), "the answer was of an earlier generation")
	s.askMaster(t.Context(), linked)
	require.True(t, s.ofRecordedMaster(linked))
}
