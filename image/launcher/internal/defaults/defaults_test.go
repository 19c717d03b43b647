package defaults

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRedisTellsItsDefaults(t *testing.T) {
	dir := t.TempDir()
	values, err := Ask(t.Context(), "redis-server", dir, []string{"hz", "key-load-delay", "notify-keyspace-events", "unknown-to-all"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"hz": "10", "key-load-delay": "0", "notify-keyspace-events": ""}, values)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "files of the Redis that was asked")
}

func TestRedisThatDoesNotStartIsTold(t *testing.T) {
	_, err := Ask(t.Context(), "false", t.TempDir(), []string{"hz"})
	require.ErrorContains(t, err, "it has ended")
	_, err = Ask(t.Context(), "no-such-program", t.TempDir(), []string{"hz"})
	require.ErrorContains(t, err, "is it in the image")
}
