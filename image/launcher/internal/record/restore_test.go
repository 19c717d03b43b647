package record

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecordTellsOfABackupAsLongAsItsDataAreServed(t *testing.T) {
	a, b := Member{Name: "a", UID: "a"}, Member{Name: "b", UID: "b"}
	r := Record{}.Claim(a).Restore(b, "backup")
	require.Equal(t, "backup", r.Restored)
	require.EqualValues(t, 2, r.RestoredIn)
	require.Equal(t, b, r.Master)
	require.Equal(t, a, r.Previous)

	next := r.Claim(a).Holding(2)
	require.Equal(t, "backup", next.Restored, "a replica of that master has its data")
	require.EqualValues(t, 2, next.RestoredIn)
	next = r.Claim(a).Holding(1)
	require.Empty(t, next.Restored, "a master of before has its own data")
	require.Zero(t, next.RestoredIn)
	require.Equal(t, "first", Record{Initialised: true, Restored: "first"}.Claim(a).Holding(0).Restored, "the release began with it")
}
