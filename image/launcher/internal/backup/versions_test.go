package backup

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/store"
)

// dumpOf is an RDB file of a version with one key; see rdb.h. A checksum of zeros says that there is none.
func dumpOf(version string) []byte {
	const selectDatabase, text, end = 0xFE, 0x00, 0xFF
	dump := append([]byte("REDIS"+version), selectDatabase, 0, text, 3)
	dump = append(dump, "key"...)
	dump = append(dump, 5)
	dump = append(dump, "value"...)
	return append(dump, end, 0, 0, 0, 0, 0, 0, 0, 0)
}

// stored keeps a dump as a backup.
func stored(t *testing.T, s store.Store, dump []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dump.rdb")
	require.NoError(t, os.WriteFile(path, dump, 0o600))
	sum := sha256.New()
	_, _ = sum.Write(dump)
	made := Manifest{Form: manifestForm, Time: time.Now().UTC(), RDB: fileOf(int64(len(dump)), sum)}
	made.Name = nameOf(made.Time, made.RDB)
	require.NoError(t, (&Maker{store: s, log: quiet}).keep(t.Context(), &made, path))
}

// Redis 2.6 wrote version 6, Redis 5 version 9, Redis 7.0 version 10. An older Redis cannot read what a newer one wrote.
func TestBackupsOfOlderRedisVersionsAreRead(t *testing.T) {
	for _, version := range []string{"0006", "0009", "0010"} {
		s, err := store.NewDirectory(t.TempDir())
		require.NoError(t, err)
		stored(t, s, dumpOf(version))
		path := filepath.Join(t.TempDir(), "fetched.rdb")
		_, err = Fetch(t.Context(), s, Latest, "", path, quiet)
		require.NoError(t, err, version)
		client := startRedis(t, "127.0.0.9", freePort(t), "--dir", filepath.Dir(path), "--dbfilename", filepath.Base(path))
		assert.Equal(t, "value", client.Get(t.Context(), "key").Val(), version)
	}
	s, err := store.NewDirectory(t.TempDir())
	require.NoError(t, err)
	stored(t, s, dumpOf("0999"))
	path := filepath.Join(t.TempDir(), "fetched.rdb")
	_, err = Fetch(t.Context(), s, Latest, "", path, quiet)
	assert.ErrorContains(t, err, "redis-check-rdb does not accept the RDB file")
	assert.NoFileExists(t, path)
}
