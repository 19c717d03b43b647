package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/internal/writepause"
)

// Redis answers before the launcher can tell it anything.
func TestReplicaWithDataFromBeforeABackupStartsWithoutReads(t *testing.T) {
	for generation, refuses := range map[int64]bool{2: true, 3: false} {
		c := config.Config{Persistence: true, DataDir: t.TempDir(), RunDir: t.TempDir(), RedisServer: "true", BindAddress: "127.0.0.1"}
		c.Backup.Enabled = true
		s := &Server{config: c, log: quiet, guard: &writepause.Guard{}}
		s.memory.Worth.Standing = role.Standing{Generation: generation}
		s.setRecord(record.Record{Initialised: true, Generation: 4, RestoredIn: 3})
		require.NoError(t, s.start(netip.MustParseAddrPort("127.0.0.2:6379"), false))
		<-s.child.Done()
		text, err := os.ReadFile(filepath.Join(c.RunDir, "redis.conf"))
		require.NoError(t, err)
		const refusal = "\nreplica-serve-stale-data no\n"
		if !refuses {
			require.NotContains(t, string(text), refusal)
			require.Nil(t, s.reads)
			continue
		}
		require.Contains(t, string(text), refusal)
		require.Equal(t, &reads{stale: "no"}, s.reads, "reads are allowed again when it has the new data")
	}
}
