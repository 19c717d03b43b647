package record

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRecordTellsOfABackupAsLongAsItsDataAreServed(t *testing.T) {
	a, b := Member{Name: "a", UID: "a"}, Member{Name: "b", UID: "b"}
	now := time.Now()
	r := Record{}.Claim(a).Restore(b, "backup", now)
	require.Equal(t, "backup", r.Restored)
	require.EqualValues(t, 2, r.RestoredIn)
	require.Equal(t, b, r.Master)
	require.Equal(t, a, r.Previous)

	next := r.Claim(a).Holding(2)
	require.Equal(t, "backup", next.Restored, "a replica of that master has its data")
	require.EqualValues(t, 2, next.RestoredIn)
	next = r.Claim(a).Holding(1)
	require.Empty(t, next.Restored, "a former master has its own data")
	require.Zero(t, next.RestoredIn)
	require.Equal(t, "first", Record{Initialised: true, Restored: "first"}.Claim(a).Holding(0).Restored, "the release began with it")
}

// The launcher that takes over has moved the other servers by then, or does not move them any more.
func TestMasterOfBeforeLeavesTheRecordToATakeoverForAWhile(t *testing.T) {
	a, b, now := Member{Name: "a", UID: "a"}, Member{Name: "b", UID: "b"}, time.Now()
	r := Record{}.Claim(a).Restore(b, "backup", now)
	require.True(t, r.TakenOver(a, now.Add(CarrierTime)))
	require.True(t, r.LeftToAnother(a, now.Add(CarrierTime)))
	require.False(t, r.TakenOver(a, now.Add(CarrierPatience)))
	require.False(t, r.LeftToAnother(b, now), "its own")
	require.False(t, r.Claim(b).TakenOver(a, now), "a later time of that master")
	require.False(t, Record{Initialised: true, Master: b, Restored: "first"}.TakenOver(a, now), "the release began with it")
}
