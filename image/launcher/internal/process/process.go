// Package process runs the children of PID 1 and collects orphans.
//
// There is exactly one waiter for a child: the goroutine that started it.
// Other children can only be orphans the kernel gave to PID 1 (the forks of a
// Redis that died while it saved, what a command of `kubectl exec` left behind);
// they are collected by their own PIDs, so that the child's exit status is
// never taken by mistake.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Child is a running program.
type Child struct {
	pid  int
	done chan struct{}
	err  error // valid after done
}

// started are the PIDs that Start and Output wait for; orphans are all others. The lock is
// held from before a fork until its PID is here: until then nobody may take
// a child for an orphan.
var (
	mu      sync.Mutex
	started = map[int]bool{}
)

// Start starts a program that shares the launcher's standard output. The
// program is killed by the kernel if the launcher dies.
func Start(name string, args ...string) (*Child, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	child := &Child{done: make(chan struct{})}
	forked := make(chan error)
	go func() {
		// Pdeathsig fires when the thread that forked ends, so it must stay.
		runtime.LockOSThread()
		err := fork(cmd)
		if err == nil {
			child.pid = cmd.Process.Pid
		}
		forked <- err
		if err != nil {
			return
		}
		child.err = cmd.Wait()
		_ = child.Signal(syscall.SIGKILL) // what it has started
		forget(child.pid)
		close(child.done)
	}()
	if err := <-forked; err != nil {
		return nil, fmt.Errorf("start %s (is it in the image and executable?): %w", name, err)
	}
	return child, nil
}

// Output runs a program to its end, and gives what it has printed. The program gets none of the variables of the launcher, which may be
// secret, and is killed when ctx ends.
func Output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var printed strings.Builder
	cmd.Stdout, cmd.Stderr = &printed, &printed
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	if err := fork(cmd); err != nil {
		return "", fmt.Errorf("start %s (is it in the image and executable?): %w", name, err)
	}
	defer forget(cmd.Process.Pid)
	err := cmd.Wait()
	return printed.String(), err
}

// fork starts a program and notes its PID.
func fork(cmd *exec.Cmd) error {
	mu.Lock()
	defer mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	started[cmd.Process.Pid] = true
	return nil
}

// forget notes that a program has been waited for: its PID may be an orphan's from now on.
func forget(pid int) {
	mu.Lock()
	defer mu.Unlock()
	delete(started, pid)
}

// Done is closed when the program has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// PID is the program's process ID.
func (c *Child) PID() int { return c.pid }

// Err says how the program ended; nil is exit code 0. Valid after Done.
func (c *Child) Err() error { return c.err }

// Signal sends a signal to the program. KILL reaches the processes that it has started as well: one of them that writes a file has copies of
// the connections, which would not end before it does.
func (c *Child) Signal(s syscall.Signal) error {
	pid := c.pid
	if s == syscall.SIGKILL {
		pid = -pid // its process group
	}
	err := syscall.Kill(pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// Stop ends the program: with the signal first, with KILL after grace.
func (c *Child) Stop(first syscall.Signal, grace time.Duration) {
	_ = c.Signal(first)
	select {
	case <-c.done:
		return
	case <-time.After(grace):
	}
	_ = c.Signal(syscall.SIGKILL)
	<-c.done
}

// CollectOrphans collects orphans as soon as they end, until ctx ends. The kernel
// tells of it by CHLD.
func CollectOrphans(ctx context.Context) {
	ended := make(chan os.Signal, 1) // a signal that comes while orphans are collected is kept
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		ReapOrphans()
		select {
		case <-ctx.Done():
			return
		case <-ended:
		}
	}
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
		if err != nil {
			continue
		}
		if parent, zombie := state(pid); parent == self && zombie {
			reap(pid)
		}
	}
}

// reap collects an ended process unless Start waits for it.
func reap(pid int) {
	mu.Lock()
	defer mu.Unlock()
	if !started[pid] {
		var status syscall.WaitStatus
		_, _ = syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
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
