// Package process runs the one child of PID 1 and collects orphans.
//
// There is exactly one waiter for the child: the goroutine that started it.
// Other children can only be orphans the kernel gave to PID 1 (the forks of a
// Redis that died while it saved); they are collected by their own PIDs, so
// that the child's exit status is never taken by mistake.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Child is a running program.
type Child struct {
	pid  int
	done chan struct{}
	err  error // valid after done
}

// current is the PID of the running child, 0 for none; orphans are all others.
var current atomic.Int64

// Start starts a program that shares the launcher's standard output. The
// program is killed by the kernel if the launcher dies.
func Start(name string, args ...string) (*Child, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	child := &Child{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Pdeathsig fires when the thread that forked ends, so it must stay.
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		current.Store(int64(cmd.Process.Pid))
		child.pid = cmd.Process.Pid
		started <- nil
		child.err = cmd.Wait()
		current.Store(0)
		close(child.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s (is it in the image and executable?): %w", name, err)
	}
	return child, nil
}

// Done is closed when the program has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// PID is the program's process ID.
func (c *Child) PID() int { return c.pid }

// Err says how the program ended; nil is exit code 0. Valid after Done.
func (c *Child) Err() error { return c.err }

// Signal sends a signal to the program.
func (c *Child) Signal(signal syscall.Signal) error {
	err := syscall.Kill(c.pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// Stop ends the program: with signal first, with KILL after grace.
func (c *Child) Stop(signal syscall.Signal, grace time.Duration) {
	_ = c.Signal(signal)
	select {
	case <-c.done:
		return
	case <-time.After(grace):
	}
	_ = c.Signal(syscall.SIGKILL)
	<-c.done
}

// ReapOrphans collects ended processes that the kernel has given to this one.
func ReapOrphans() {
	self := os.Getpid()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || int64(pid) == current.Load() {
			continue
		}
		if parent, zombie := state(pid); parent == self && zombie {
			var status syscall.WaitStatus
			_, _ = syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		}
	}
}

// state reads a process' parent and whether it has ended.
func state(pid int) (parent int, zombie bool) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name may hold spaces and brackets; the fields follow the last ")".
	fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
	if len(fields) < 2 {
		return 0, false
	}
	parent, _ = strconv.Atoi(fields[1])
	return parent, fields[0] == "Z"
}
