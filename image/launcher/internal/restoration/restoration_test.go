package restoration

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// given offers a file of some bytes.
func given(t *testing.T, size int) (g *Giver, content []byte) {
	t.Helper()
	content = bytes.Repeat([]byte("redis"), size/5)
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	g, err := Give(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"), path, nil)
	require.NoError(t, err)
	t.Cleanup(g.Close)
	return g, content
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func TestFileComesWholeOrNotAtAll(t *testing.T) {
	g, content := given(t, 1<<20)
	taker, path := Take(g.URL, nil), filepath.Join(t.TempDir(), "got")
	require.NoError(t, taker.File(t.Context(), path, int64(len(content)), sumOf(content)))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, sumOf(content), sumOf(got))

	other := filepath.Join(t.TempDir(), "got")
	require.ErrorContains(t, taker.File(t.Context(), other, int64(len(content)), sumOf([]byte("another"))), "and should have 1048575 bytes and SHA-256")
	require.NoError(t, os.Remove(other))
	require.ErrorContains(t, taker.File(t.Context(), other, 10, sumOf(content)), "the backup has come with 11 bytes", "no more is read than was promised")
}

func TestNobodyGetsTheFileWithoutTheSecret(t *testing.T) {
	g, content := given(t, 100)
	wrong := Take("http://"+netip.MustParseAddrPort(g.URL[len("http://"):len(g.URL)-27]).String()+"/wrong", nil)
	err := wrong.File(t.Context(), filepath.Join(t.TempDir(), "got"), int64(len(content)), sumOf(content))
	require.ErrorContains(t, err, "it answered 404")
	_, err = wrong.Tell(t.Context(), Told{Stage: Loaded})
	require.ErrorContains(t, err, "it answered 404")
	g.Close()
	_, err = Take(g.URL, nil).Tell(t.Context(), Told{Stage: Loaded})
	require.Error(t, err)
	require.NotContains(t, err.Error(), g.URL[len(g.URL)-26:], "an error is logged, and the URL is secret")
}

func TestServerHearsWhetherItMayGoOn(t *testing.T) {
	g, _ := given(t, 100)
	taker := Take(g.URL, nil)
	told, _ := g.Last()
	require.Empty(t, told.Stage)
	answer, err := taker.Tell(t.Context(), Told{Stage: Loaded, Keys: 7})
	require.NoError(t, err)
	require.False(t, answer.Go)
	told, ago := g.Last()
	require.Equal(t, Told{Stage: Loaded, Keys: 7}, told)
	require.Less(t, ago, time.Minute)
	g.Go()
	answer, err = taker.Tell(t.Context(), told)
	require.NoError(t, err)
	require.True(t, answer.Go)
	g.Stop()
	_, err = taker.Tell(t.Context(), told)
	require.ErrorIs(t, err, ErrStopped)

	_, _ = taker.Tell(t.Context(), Told{Stage: Failed, Reason: "no room"})
	_, _ = taker.Tell(t.Context(), Told{Stage: Loading}) // it was on its way
	told, _ = g.Last()
	require.Equal(t, "no room", told.Reason)
}

func TestTellerTellsTheStageUntilTheLastOneIsHeard(t *testing.T) {
	g, _ := given(t, 100)
	heard := func(stage Stage) func() bool {
		return func() bool { told, _ := g.Last(); return told.Stage == stage }
	}
	teller := Take(g.URL, nil).Telling(t.Context(), Told{Stage: Fetching})
	require.Eventually(t, heard(Fetching), wait, poll)
	teller.Set(Told{Stage: Loaded})
	require.Eventually(t, heard(Loaded), wait, poll)
	select {
	case <-teller.Free():
		t.Fatal("nobody has let it take over")
	default:
	}
	require.Zero(t, teller.Until())
	require.Zero(t, g.WordEnds())
	g.Go()
	select {
	case <-teller.Free():
	case <-time.After(wait):
		t.Fatal("waited for the word to take over")
	}
	require.WithinRange(t, teller.Until(), time.Now(), g.WordEnds(), "the pod that gives the word waits at least as long")
	g.Stop()
	select {
	case <-teller.Lost():
	case <-time.After(wait):
		t.Fatal("waited for the end of launcher restore to be noticed")
	}
	require.ErrorIs(t, teller.Err(), ErrStopped)
	require.LessOrEqual(t, teller.Until(), g.WordEnds())
	teller.Set(Told{Stage: Failed, Reason: "stopped"})
	require.Eventually(t, heard(Failed), wait, poll)
}

const (
	wait = 10 * time.Second
	poll = 10 * time.Millisecond
)
