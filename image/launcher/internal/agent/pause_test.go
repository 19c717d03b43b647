package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/redisnode"
)

func TestMasterThatASentinelBeginsToReplaceIsReadFromItsMessage(t *testing.T) {
	for notice, want := range map[redisnode.Notice]string{
		{Channel: "+try-failover", Payload: "master mymaster 10.0.0.1 6379"}: "10.0.0.1",
		{Channel: "+try-failover", Payload: "master mymaster fd00::1 6379"}:  "fd00::1",
		{Channel: "+try-failover", Payload: "master"}:                        "invalid IP",
		{Channel: "+odown", Payload: "master mymaster 10.0.0.1 6379"}:        "invalid IP",
	} {
		require.Equal(t, want, replacedMaster(notice).String(), notice)
	}
}

func TestWritesAreHeldBackUntilTheMasterIsDemoted(t *testing.T) {
	const ip = "127.0.0.1"
	for name, c := range map[string]struct {
		flags, role string
		held        bool // writes are held back at all
		again       bool // writes are held back for another while
	}{
		"while the sentinel replaces it":  {"master,failover_in_progress", "master", true, true},
		"but not where it is a replica":   {"master,failover_in_progress", "slave", false, false},
		"once when the sentinel gives up": {"master", "master", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			master := speak(t, map[string]string{"CLIENT": "+OK\r\n", "INFO": text("run_id:abc\r\nrole:" + c.role + "\r\n")})
			sentinel := speak(t, map[string]string{"SENTINEL MASTER": masterReply(ip, c.flags)})
			s := &Sentinel{links: newLinks(""), log: slog.New(slog.DiscardHandler), config: config.Config{
				MasterName: "mymaster", DownAfter: 1400 * time.Millisecond, PodIP: netip.MustParseAddr(ip),
				RedisPort: int(master.addr.Port()), SentinelPort: int(sentinel.addr.Port()),
			}}
			limited, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			s.pauseReplaced(limited, netip.MustParseAddr(ip))
			heard := strings.Join(master.heard(), "\n")
			require.Equal(t, c.held, strings.Contains(heard, "CLIENT PAUSE 400 WRITE"), heard)
			require.Equal(t, c.again, strings.Count(heard, "PAUSE 400") > 1, heard)
			require.NotContains(t, heard, "UNPAUSE", "that would end the pause of a hand-over, too")
		})
	}
}
