package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// soon bounds waits for what happens at once.
const soon = 10 * time.Second

// adopt makes the kernel give orphans to the test, as it gives them to PID 1.
func adopt(t *testing.T) {
	t.Helper()
	require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
}

// start starts a shell script that is killed at the end of the test.
func start(t *testing.T, script string) *Child {
	t.Helper()
	child, err := Start("sh", "-c", script)
	require.NoError(t, err)
	t.Cleanup(func() { child.Stop(syscall.SIGKILL, soon) })
	return child
}

// ended waits for the end of a child.
func ended(t *testing.T, child *Child) {
	t.Helper()
	select {
	case <-child.Done():
	case <-time.After(soon):
		require.FailNow(t, "the child did not end", "process %d, waited %v", child.PID(), soon)
	}
}

func TestOrphanIsCollectedWhileTheChildRuns(t *testing.T) {
	adopt(t)
	go CollectOrphans(t.Context())
	child := start(t, "exec sleep 1000")
	dir := t.TempDir()
	gate, note := filepath.Join(dir, "gate"), filepath.Join(dir, "note")
	require.NoError(t, syscall.Mkfifo(gate, 0o600))
	// In a session of its own, or it would end with its parent.
	parent := start(t, fmt.Sprintf("setsid sh -c 'echo $$ >%s; exec cat %s' & until [ -s %s ]; do sleep 0.01; done", note, gate, note))
	ended(t, parent)
	require.NoError(t, parent.Err())
	content, err := os.ReadFile(note)
	require.NoError(t, err)
	orphan, err := strconv.Atoi(strings.TrimSpace(string(content)))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		parent, ended := state(orphan)
		return parent == os.Getpid() && !ended
	}, soon, time.Millisecond, "the orphan is given to the test and runs")

	open, err := os.OpenFile(gate, os.O_WRONLY, 0)
	require.NoError(t, err)
	require.NoError(t, open.Close()) // ends the orphan
	require.Eventually(t, func() bool {
		parent, _ := state(orphan)
		return parent == 0
	}, soon, time.Millisecond, "the orphan has been collected")
	select {
	case <-child.Done():
		require.FailNow(t, "the child has ended", "%v", child.Err())
	default:
	}
}

func TestExitStatusOfAChildIsNeverTakenForThatOfAnOrphan(t *testing.T) {
	adopt(t)
	go CollectOrphans(t.Context())
	var last atomic.Int64 // PID of the last child; those of the next ones follow it
	last.Store(int64(os.Getpid()))
	go func() {
		for t.Context().Err() == nil {
			for next := range 64 {
				reap(int(last.Load()) + next)
			}
		}
	}()
	for i := range 200 {
		child := start(t, fmt.Sprintf("true & exit %d", 1+i%100)) // leaves an orphan, too
		last.Store(int64(child.PID()))
		ended(t, child)
		var exit *exec.ExitError
		require.True(t, errors.As(child.Err(), &exit), "child %d: %v", i, child.Err())
		require.Equal(t, 1+i%100, exit.ExitCode(), "child %d", i)
	}
}

func TestProgramThatCannotBeStartedIsAnError(t *testing.T) {
	_, err := Start(filepath.Join(t.TempDir(), "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "is it in the image and executable?")
}

// Redis forks to write a file, and the copy holds the connections of its clients.
func TestWhatTheProgramHasStartedEndsWithIt(t *testing.T) {
	for name, end := range map[string]func(*Child){
		"killed by the launcher":  func(c *Child) { c.Stop(syscall.SIGKILL, soon) },
		"killed by somebody else": func(c *Child) { _ = syscall.Kill(c.PID(), syscall.SIGKILL) },
		"stopped by the launcher": func(c *Child) { c.Stop(syscall.SIGTERM, soon) },
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			child, err := Start("sh", "-c", "sleep 300 & echo $! > "+file+"; wait")
			require.NoError(t, err)
			var pid int
			require.Eventually(t, func() bool {
				text, err := os.ReadFile(file)
				if err == nil {
					pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
				}
				return err == nil
			}, soon, time.Millisecond, "the program has started another")
			end(child)
			require.Eventually(t, func() bool {
				state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				return err != nil || strings.Contains(string(state), ") Z ")
			}, soon, time.Millisecond, "it has ended, too")
		})
	}
}

// The collector of orphans must not take the exit status of a program that Output waits for.
func TestOutputKeepsTheExitStatus(t *testing.T) {
	adopt(t)
	go CollectOrphans(t.Context())
	t.Setenv("REDIS_PASS", "secret")
	for range 20 {
		printed, err := Output(t.Context(), "sh", "-c", "echo out; echo err >&2; echo $REDIS_PASS; exit 3")
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 3, exit.ExitCode())
		require.Equal(t, "out\nerr\n\n", printed)
	}
	_, err := Output(t.Context(), "no-such-program")
	require.ErrorContains(t, err, "start no-such-program")
}
