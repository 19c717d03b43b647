package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRecordIsWrittenAgainNowAndThen(t *testing.T) {
	m := Memory{}
	require.True(t, m.Rewrites(epoch))
	require.False(t, m.Rewrites(epoch.Add(CalmTick-1)))
	require.True(t, m.Rewrites(epoch.Add(CalmTick)))
	require.False(t, m.Rewrites(epoch.Add(CalmTick+1)), "the last attempt counts")
}

func TestAnswerFromBeforeThisLauncherWroteTheRecordDoesNotCount(t *testing.T) {
	m := Memory{}
	require.True(t, m.RecordCounts(epoch, epoch.Add(recordStale)))
	require.False(t, m.RecordCounts(epoch, epoch.Add(recordStale+1)), "it is old")
	require.True(t, m.Wrote(epoch))
	require.True(t, m.RecordCounts(epoch, epoch))
	require.False(t, m.RecordCounts(epoch.Add(-1), epoch))
	require.False(t, m.Wrote(epoch.Add(-1)), "a later record was written")
	require.True(t, m.RecordCounts(epoch, epoch))
}

func TestHandOverThatWasGivenUpIsRepeatedAfterAPause(t *testing.T) {
	m := Memory{}
	require.True(t, m.HandsOver(epoch))
	m.HandedOver(epoch)
	require.False(t, m.HandsOver(epoch.Add(handOverPause-1)))
	require.True(t, m.HandsOver(epoch.Add(handOverPause)))
}

func TestStandingIsFiledAtOnceUnlessOnlyTheOffsetMoves(t *testing.T) {
	m, standing := Memory{}, Standing{Generation: 4, Offset: 1}
	require.True(t, m.Files(standing, epoch))
	standing.Offset = 2
	require.False(t, m.Files(standing, epoch.Add(fileEvery-1)))
	require.True(t, m.Files(standing, epoch.Add(fileEvery)))
	standing.Generation = 5
	require.True(t, m.Files(standing, epoch.Add(fileEvery)))
	standing.Offset = 3
	require.False(t, m.Files(standing, epoch.Add(fileEvery)))
}

func TestReplicaIsHeldBackForATimeUntilTheNextProcess(t *testing.T) {
	m := Memory{}
	held := func(after time.Duration, wantFirst, want bool) {
		first, may := m.MayBeRemembered(epoch.Add(after))
		require.Equal(t, []bool{wantFirst, want}, []bool{first, may}, "after %v", after)
	}
	held(0, true, true)
	held(rememberedAtMost, false, true)
	held(rememberedAtMost+1, false, false)
	m.ProcessStarted(false, epoch)
	held(time.Hour, true, true)
}
