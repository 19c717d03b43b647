package standingfile

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/role"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/slowdisk"
)

var (
	older = role.Standing{Generation: 3, Offset: 7}
	newer = role.Standing{Generation: 4, Master: true, Offset: 12345}
)

var quiet = slog.New(slog.DiscardHandler)

// wrote gives a data directory in which two standings were written, one after the other.
func wrote(t *testing.T, first, second role.Standing) string {
	t.Helper()
	dir := t.TempDir()
	writeStanding(t, dir, first)
	writeStanding(t, dir, second)
	return dir
}

// writeStanding writes as another container has done.
func writeStanding(t *testing.T, dir string, standing role.Standing) {
	t.Helper()
	f := New(dir, quiet)
	_, _ = f.Read()
	f.Hand(standing)
	f.Wait()
	on, known := f.onDisk()
	require.True(t, known)
	require.Equal(t, standing, on)
}

// readStanding is what the next container finds.
func readStanding(dir string) role.Standing {
	standing, _ := New(dir, quiet).Read()
	return standing
}

func present(dir string) string { return filepath.Join(dir, name) }
func before(dir string) string  { return present(dir) + beforeSuffix }

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestStandingIsReadBackAsItWasWritten(t *testing.T) {
	dir := wrote(t, older, newer)
	require.Equal(t, newer, readStanding(dir))
	require.Equal(t, []string{name, name + beforeSuffix}, names(t, dir), "no temporary file is left")
	writeStanding(t, dir, older)
	require.NoError(t, os.Remove(present(dir)))
	require.Equal(t, newer, readStanding(dir), "redis-ha.json.before holds the previous standing")
}

// A power loss leaves files of any content where they had not reached the disk.
func TestDamagedStandingIsReplacedByTheOneBeforeOrToldToBeUnreadable(t *testing.T) {
	unreadable := role.Standing{Unreadable: true}
	whole, err := os.ReadFile(present(wrote(t, older, newer)))
	require.NoError(t, err)
	var damaged []string
	for i := range len(whole) {
		damaged = append(damaged, string(whole[:i]))
	}
	damaged = append(damaged, strings.Repeat("\x00", len(whole)))
	for _, content := range damaged {
		dir := wrote(t, older, newer)
		require.NoError(t, os.WriteFile(present(dir), []byte(content), 0o600))
		require.Equal(t, older, readStanding(dir), "%q", content)
		require.NoError(t, os.WriteFile(before(dir), []byte(content), 0o600))
		require.Equal(t, unreadable, readStanding(dir), "%q", content)
		require.NoError(t, os.Remove(before(dir)))
		require.Equal(t, unreadable, readStanding(dir), "%q", content)
	}
	dir := wrote(t, older, newer)
	require.NoError(t, os.WriteFile(before(dir), nil, 0o600))
	require.Equal(t, newer, readStanding(dir), "the present file is good")
	require.NoError(t, os.Remove(present(dir)))
	require.Equal(t, unreadable, readStanding(dir), "there is a file")
	require.NoError(t, os.Mkdir(present(dir), 0o700))
	require.Equal(t, unreadable, readStanding(dir), "it cannot be read at all")
}

// The launcher can end between any two steps of a write.
func TestCrashWhileAStandingIsWrittenLeavesOneThatCanBeRead(t *testing.T) {
	dir := wrote(t, older, newer)
	require.NoError(t, os.WriteFile(present(dir)+newSuffix, []byte(`{"gen`), 0o600))
	require.Equal(t, newer, readStanding(dir), "the new file is not whole")
	require.NoError(t, os.Rename(present(dir), before(dir)))
	require.Equal(t, newer, readStanding(dir), "between the two renames")
	writeStanding(t, dir, older)
	require.Equal(t, older, readStanding(dir))
	require.NoError(t, os.Remove(present(dir)))
	require.Equal(t, newer, readStanding(dir), "a file that was missing has not become the file before")

	dir = wrote(t, older, newer)
	require.NoError(t, os.WriteFile(present(dir), nil, 0o600))
	writeStanding(t, dir, newer)
	require.NoError(t, os.Remove(present(dir)))
	require.Equal(t, older, readStanding(dir), "nor has a damaged one")
}

func TestStandingOfDataThatAreGoneIsNeverUsedAgain(t *testing.T) {
	dir := wrote(t, newer, role.Standing{Empty: true})
	require.Equal(t, role.Standing{Empty: true}, readStanding(dir))
	require.NoFileExists(t, before(dir))
	require.NoError(t, os.WriteFile(present(dir), nil, 0o600))
	require.Equal(t, role.Standing{Unreadable: true}, readStanding(dir))

	writeStanding(t, dir, role.Standing{Empty: true})
	writeStanding(t, dir, newer)
	require.NoError(t, os.WriteFile(present(dir), nil, 0o600))
	require.Equal(t, role.Standing{Unreadable: true}, readStanding(dir), "nor that there were none")
	require.NoError(t, os.WriteFile(before(dir), []byte(`{"empty":true}`), 0o600))
	require.Equal(t, role.Standing{Unreadable: true}, readStanding(dir))
}

func TestWriteThatFailsLeavesTheStandingThatWasThere(t *testing.T) {
	dir := wrote(t, older, newer)
	var log bytes.Buffer
	f := New(dir, slog.New(slog.NewTextHandler(&log, nil)))
	_, err := f.Read()
	require.NoError(t, err)
	last := role.Standing{Generation: 5, Offset: 1}
	fail := func(failure string) {
		t.Helper()
		f.Hand(last)
		f.Wait()
		on, known := f.onDisk()
		require.True(t, known)
		require.Equal(t, newer, on, "what did not reach the disk is not on it")
		require.Equal(t, newer, readStanding(dir))
		require.Contains(t, log.String(), failure)
	}
	for range 2 {
		require.NoError(t, os.Symlink("/dev/full", present(dir)+newSuffix))
		fail("no space left on device")
	}
	require.Equal(t, 1, strings.Count(log.String(), "could not be written"), "it is told once")
	f.Flush = func(*os.File) error { return os.ErrDeadlineExceeded }
	fail("i/o timeout")

	f.Flush = (*os.File).Sync
	f.Hand(last)
	f.Wait()
	on, known := f.onDisk()
	require.True(t, known)
	require.Equal(t, last, on)
	require.Equal(t, last, readStanding(dir))
	require.NoError(t, os.Remove(present(dir)))
	require.Equal(t, newer, readStanding(dir))
}

// The file may be lost with the power until its name has reached the disk.
func TestStandingWhoseNameHasNotReachedTheDiskIsWrittenAgain(t *testing.T) {
	dir := wrote(t, older, newer)
	f := New(dir, quiet)
	_, _ = f.Read()
	last := role.Standing{Generation: 5, Offset: 1}
	f.Flush = func(file *os.File) error {
		if file.Name() == dir {
			return os.ErrDeadlineExceeded
		}
		return nil
	}
	f.Hand(last)
	f.Wait()
	_, known := f.onDisk()
	require.False(t, known)
	_, known = f.Latest()
	require.False(t, known)
	f.Flush = (*os.File).Sync
	f.Hand(last)
	f.Wait()
	_, known = f.onDisk()
	require.True(t, known)
	require.NoError(t, os.Remove(present(dir)))
	require.Equal(t, newer, readStanding(dir))
}

func TestBusyDiskDelaysNobodyAndGetsOnlyTheLatestStanding(t *testing.T) {
	dir := t.TempDir()
	f := New(dir, quiet)
	begun, release := slowdisk.Install(t, &f.Flush)
	generation := func(n int64) role.Standing { return role.Standing{Generation: n, Master: true} }
	f.Hand(generation(1))
	require.Equal(t, name+newSuffix, <-begun)
	for n := range int64(4) {
		f.Hand(generation(n + 2))
	}
	latest, known := f.Latest()
	require.True(t, known)
	require.Equal(t, generation(5), latest)
	_, known = f.onDisk()
	require.False(t, known, "nothing has reached the disk")
	release()
	f.Wait()
	on, known := f.onDisk()
	require.True(t, known)
	require.Equal(t, generation(5), on)
	require.NoError(t, os.Remove(present(dir)))
	require.Equal(t, generation(1), readStanding(dir), "what is out of date is not written")
}

func TestWaitWithALimitEndsWhileTheDiskIsBusy(t *testing.T) {
	var log bytes.Buffer
	f := New(t.TempDir(), slog.New(slog.NewTextHandler(&log, nil)))
	f.WaitFor(time.Minute)
	require.Empty(t, log.String(), "there is nothing to wait for")
	begun, release := slowdisk.Install(t, &f.Flush)
	f.Hand(newer)
	<-begun
	f.WaitFor(time.Millisecond)
	require.Contains(t, log.String(), "the last standing of the data has not reached the disk")
	release()
	f.Wait()
}

// onDisk gives the standing that has reached the disk, and whether it is known to.
func (f *File) onDisk() (role.Standing, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.on, f.known
}
