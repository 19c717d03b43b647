package patience

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSilentNodeGetsTheFullTimeOnlyNowAndThen(t *testing.T) {
	var p Patience
	now := time.Now()
	require.Equal(t, time.Second, p.limit(time.Second, now), "at first")
	p.Note(true)
	require.Equal(t, Short, p.limit(time.Second, now.Add(time.Millisecond)), "after silence")
	require.Equal(t, Short, p.limit(time.Second, now.Add(fullEvery-time.Millisecond)), "still silent")
	require.Equal(t, time.Second, p.limit(time.Second, now.Add(fullEvery)), "one that is merely slow is to be heard")
	require.Equal(t, Short, p.limit(time.Second, now.Add(fullEvery+time.Millisecond)), "silent again")
	p.Note(false)
	require.Equal(t, time.Second, p.limit(time.Second, now.Add(fullEvery+2*time.Millisecond)), "after an answer")
}

func TestShortLimitIsNotMadeLonger(t *testing.T) {
	var p Patience
	now := time.Now()
	p.limit(50*time.Millisecond, now)
	p.Note(true)
	require.Equal(t, 50*time.Millisecond, p.limit(50*time.Millisecond, now))
}
