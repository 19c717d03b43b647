package copyplan

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	_ "github.com/redis-ha/redis-ha/tests/seed"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func key(name string) Key { return Key{Name: name} }

func TestKeyThatChangesWhileItIsCopiedIsCopiedAgain(t *testing.T) {
	l := NewLedger(10)
	l.Changed(key("a"), now)
	require.Equal(t, []Key{key("a")}, l.Take(10, now, false))
	l.Changed(key("a"), now)
	require.Empty(t, l.Take(10, now, false), "somebody is copying it")
	require.Equal(t, 1, l.Pending())
	l.Release(key("a"))
	require.Equal(t, []Key{key("a")}, l.Take(10, now, false))
	l.Release(key("a"))
	require.Zero(t, l.Pending())
}

func TestReadingOfAllKeysSettlesEarlierChanges(t *testing.T) {
	l := NewLedger(10)
	l.Changed(key("a"), now)
	require.Equal(t, []Key{key("a"), key("b")}, l.Acquire([]Key{key("a"), key("b")}))
	l.Release(key("a"), key("b"))
	require.Zero(t, l.Pending())
}

func TestKeyThatSomebodyCopiesIsLeftToALaterCopy(t *testing.T) {
	l := NewLedger(10)
	require.Len(t, l.Acquire([]Key{key("a")}), 1)
	require.Empty(t, l.Acquire([]Key{key("a")}))
	l.Release(key("a"))
	require.Equal(t, []Key{key("a")}, l.Take(1, now, false))
}

func TestKeysOfOneDatabaseAreTakenTogether(t *testing.T) {
	l := NewLedger(10)
	for db := range 3 {
		l.Changed(Key{DB: db, Name: "a"}, now)
		l.Changed(Key{DB: db, Name: "b"}, now)
	}
	for range 3 {
		taken := l.Take(10, now, false)
		require.Len(t, taken, 2)
		require.Equal(t, taken[0].DB, taken[1].DB)
	}
}

func TestLargeKeyRestsUnlessThereIsHurry(t *testing.T) {
	l := NewLedger(10)
	l.Rest(key("a"), now.Add(time.Second))
	l.Changed(key("a"), now)
	require.Empty(t, l.Take(10, now, false))
	require.Equal(t, 1, l.Waiting())
	require.Len(t, l.Take(10, now, true), 1)
	l.Release(key("a"))
	l.Rest(key("a"), now.Add(time.Second))
	l.Changed(key("a"), now)
	require.Len(t, l.Take(10, now.Add(time.Second), false), 1)
}

func TestTooManyChangesAreToldOnce(t *testing.T) {
	l := NewLedger(1)
	require.True(t, l.Changed(key("a"), now))
	require.True(t, l.Changed(key("a"), now), "it waits already")
	require.False(t, l.Changed(key("b"), now))
	require.True(t, l.Changed(key("c"), now), "every key is compared already")
	l.Forget()
	require.True(t, l.Changed(key("a"), now))
	require.False(t, l.Changed(key("b"), now), "changes are missed anew")
}

func TestForgettingKeepsTheChangesOfKeysThatAreBeingCopied(t *testing.T) {
	l := NewLedger(10)
	l.Changed(key("a"), now)
	l.Changed(key("b"), now)
	require.Len(t, l.Acquire([]Key{key("a")}), 1)
	l.Changed(key("a"), now)
	l.Forget()
	l.Release(key("a"))
	require.Equal(t, []Key{key("a")}, l.Take(10, now, true))
}

func TestChangesAreCountedButNotWhatTheServerDoesItself(t *testing.T) {
	l := NewLedger(10)
	l.Again(key("a"))
	number, _ := l.Changes()
	require.Zero(t, number)
	l.Changed(key("b"), now)
	number, last := l.Changes()
	require.Equal(t, int64(1), number)
	require.Equal(t, now, last)
}

// A model of one source and one target: whatever happens in whatever order, the target has what the source has when
// nothing is pending any more, as long as a copy reads after it has been given the key.
func TestNothingPendingMeansThatBothSidesAreEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLedger(100)
		source, target, read := map[Key]int{}, map[Key]int{}, map[Key]int{}
		names := []Key{key("a"), key("b"), {DB: 1, Name: "a"}}
		for _, k := range names {
			source[k], target[k] = 0, 0
		}
		version := 0
		begin := func(keys []Key) {
			for _, k := range keys {
				_, twice := read[k]
				require.False(t, twice, "two workers copy %v", k)
				read[k] = source[k]
			}
		}
		finish := func() {
			for k, value := range read {
				target[k] = value
				delete(read, k)
				l.Release(k)
				return
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				k := rapid.SampledFrom(names).Draw(t, "key")
				version++
				source[k] = version
				l.Changed(k, now)
			},
			"take":   func(t *rapid.T) { begin(l.Take(rapid.IntRange(1, 3).Draw(t, "limit"), now, true)) },
			"scan":   func(t *rapid.T) { begin(l.Acquire([]Key{rapid.SampledFrom(names).Draw(t, "key")})) },
			"finish": func(*rapid.T) { finish() },
			"": func(t *rapid.T) {
				if l.Pending() == 0 {
					require.Equal(t, source, target)
				}
			},
		})
		for len(read) > 0 || l.Pending() > 0 {
			begin(l.Take(10, now, true))
			finish()
		}
		require.Equal(t, source, target)
	})
}
