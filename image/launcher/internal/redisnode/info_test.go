package redisnode

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// info joins the lines of INFO as Redis does.
func info(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }

func TestInfoIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Info
	}{
		"a master and its replicas": {
			info("# Server", "redis_version:8.0.2", "run_id:abc", "# Replication", "role:master", "connected_slaves:3",
				"slave0:ip=10.0.0.2,port=6379,state=online,offset=120,lag=1", "slave1:ip=fd00::3,port=6379,state=wait_bgsave,offset=0,lag=0",
				"slave2:ip=10.0.0.4,port=6379,state=online,offset=119,lag=7,type=replica", "master_repl_offset:123", "slave_repl_offset:9", "loading:0"),
			Info{RunID: "abc", Version: "8.0.2", Master: true, Offset: 123, Replicas: []Replica{
				{IP: netip.MustParseAddr("10.0.0.2"), Online: true, Offset: 120, Lag: time.Second},
				{IP: netip.MustParseAddr("fd00::3")},
				{IP: netip.MustParseAddr("10.0.0.4"), Online: true, Offset: 119, Lag: 7 * time.Second},
			}},
		},
		"a replica in sync": {
			info("role:slave", "master_host:10.0.0.1", "master_port:6379", "master_link_status:up", "master_sync_in_progress:0",
				"slave_repl_offset:55", "slave_priority:100", "master_repl_offset:99"),
			Info{MasterAddr: netip.MustParseAddrPort("10.0.0.1:6379"), LinkUp: true, Offset: 55, Priority: 100},
		},
		"a replica that synchronises for the first time": {
			info("role:slave", "master_host:fd00::1", "master_port:6379", "master_link_status:down", "master_sync_in_progress:1",
				"master_link_down_since_seconds:-1", "slave_repl_offset:0", "slave_priority:0"),
			Info{MasterAddr: netip.MustParseAddrPort("[fd00::1]:6379"), Syncing: true, LinkDown: -time.Second},
		},
		"a replica whose master is gone": {
			info("role:slave", "master_host:10.0.0.1", "master_port:6379", "master_link_status:down", "master_link_down_since_seconds:42"),
			Info{MasterAddr: netip.MustParseAddrPort("10.0.0.1:6379"), LinkDown: 42 * time.Second},
		},
		"a master that loads its data":    {info("role:master", "loading:1"), Info{Master: true, Loading: true}},
		"the version of Valkey":           {info("redis_version:7.2.4", "valkey_version:8.1.1", "role:master"), Info{Master: true, Version: "8.1.1"}},
		"an address in IPv6 form is IPv4": {info("master_host:::ffff:10.0.0.1", "master_port:1"), Info{MasterAddr: netip.MustParseAddrPort("10.0.0.1:1")}},
		"a master known by name":          {info("role:slave", "master_host:redis.example", "master_port:6379"), Info{}},
		"nothing":                         {"", Info{}},
		"no lines at all":                 {"garbage", Info{}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, ParseInfo(c.text)) })
	}
}

func FuzzInfoOfAnyTextIsReadWithoutHarm(f *testing.F) {
	f.Add(info("role:master", "slave0:ip=10.0.0.2,port=1,state=online,offset=1,lag=1"))
	f.Add(info("role:slave", "master_host:10.0.0.1", "master_port:99999", "master_link_down_since_seconds:-9223372036854775808"))
	f.Add("slave0:,,=,=\r\nrole:master\n:\n::")
	f.Add("slave0:lag=99999999999999999999,ip=\x00")
	f.Fuzz(func(t *testing.T, text string) {
		got := ParseInfo(text)
		if got.Master && (got.LinkUp || got.MasterAddr.IsValid()) || !got.Master && len(got.Replicas) > 0 {
			t.Fatalf("a master and a replica in one: %+v", got)
		}
		if count := strings.Count(text, "slave"); len(got.Replicas) > count {
			t.Fatalf("%d replicas out of %d lines", len(got.Replicas), count)
		}
	})
}

func TestKeysOfAllDatabasesAreCounted(t *testing.T) {
	address, _ := fake(t, func(string) string {
		return bulk(info("# Keyspace", "db0:keys=12,expires=1,avg_ttl=0", "db7:keys=30,expires=0,avg_ttl=0,subexpiry=0"))
	})
	keys, err := node(t, address, "").Keys(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 42, keys)
}

func TestServerAtASocketIsNamedByItsPath(t *testing.T) {
	path := t.TempDir() + "/nobody.sock"
	n := AtSocket(path, "secret")
	t.Cleanup(n.Close)
	_, err := n.Info(t.Context())
	require.ErrorContains(t, err, "INFO at "+path)
}
