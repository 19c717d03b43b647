package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClockGoesOnWhereALookCouldNotTell(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	after := func(d time.Duration) time.Time { return start.Add(d) }
	const known, unknown = true, false
	var c clock
	c.look(start, unknown, true)
	require.False(t, c.runs(), "what is not known does not begin")
	c.look(start, known, true)
	require.True(t, c.runs())
	c.look(after(time.Second), unknown, false)
	require.Equal(t, time.Second, c.span(after(time.Second)), "one look that could not tell")
	c.look(after(2*time.Second), known, true)
	c.look(after(2*time.Second+clockTime), unknown, false)
	require.Equal(t, 5*time.Second, c.span(after(5*time.Second)), "nor all of two seconds")
	c.look(after(2*time.Second+clockTime+1), unknown, false)
	require.False(t, c.runs(), "but not for ever")
	c.look(after(6*time.Second), known, true)
	require.Zero(t, c.span(after(6*time.Second)), "it begins anew")
	c.look(after(7*time.Second), known, false)
	require.Zero(t, c.span(after(8*time.Second)), "and ends at once where a look could tell")
}
