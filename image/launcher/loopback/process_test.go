package loopback

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one running launcher with the redis it started.
type process struct {
	command *exec.Cmd
	exited  chan struct{} // closed after the launcher and its output have ended
	code    int           // exit code, -1 when killed by a signal; valid after exited
	started time.Time
}

// startProcess runs the launcher as a container runtime would: nothing but the
// given environment, process 1 of its own PID namespace where that is allowed,
// and never outliving the test.
func startProcess(environment []string, output io.Writer, arguments ...string) (*process, error) {
	command := exec.Command(launcherBinary, arguments...)
	command.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environment...)
	command.Stdout, command.Stderr = output, output
	command.WaitDelay = 2 * time.Second
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		command.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the launcher: %w", err)
	}
	p := &process{command: command, exited: make(chan struct{}), started: time.Now()}
	go func() {
		// The exit status is all that matters here; it is in ProcessState.
		_ = command.Wait()
		p.code = command.ProcessState.ExitCode()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// signal sends a signal to the launcher alone.
func (p *process) signal(signal syscall.Signal) error {
	err := p.command.Process.Signal(signal)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// kill ends the launcher without warning and, as the end of a PID namespace
// does, everything below it.
func (p *process) kill() {
	below := descendants(p.command.Process.Pid)
	_ = p.signal(syscall.SIGKILL)
	for _, pid := range below {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.exited
}

// signalAll sends a signal to the launcher and everything below it.
func (p *process) signalAll(signal syscall.Signal) {
	for _, pid := range append([]int{p.command.Process.Pid}, descendants(p.command.Process.Pid)...) {
		_ = syscall.Kill(pid, signal)
	}
}

// redis returns the process id of the redis-server or redis-sentinel that the
// launcher runs, or an error when there is none.
func (p *process) redis() (int, error) {
	parents := parentOfAll()
	for pid, parent := range parents {
		if parent != p.command.Process.Pid {
			continue
		}
		name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
		if err == nil && strings.HasPrefix(string(name), "redis") {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("launcher %d runs no redis", p.command.Process.Pid)
}

// descendants returns the processes below one, in no order.
func descendants(root int) []int {
	parents := parentOfAll()
	var result []int
	below := map[int]bool{root: true}
	for grown := true; grown; {
		grown = false
		for pid, parent := range parents {
			if below[parent] && !below[pid] {
				below[pid], grown = true, true
				result = append(result, pid)
			}
		}
	}
	return result
}

// parentOfAll reads the parent of every process from /proc.
func parentOfAll() map[int]int {
	result := map[int]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state parent ...; the name may hold spaces and brackets.
		end := strings.LastIndexByte(string(content), ')')
		fields := strings.Fields(string(content[end+1:]))
		pid, errPID := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if len(fields) < 2 || errPID != nil {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			result[pid] = parent
		}
	}
	return result
}
