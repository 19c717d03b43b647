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
	"sync"
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

// containerVariable makes this test binary a container's first process: it
// mounts the /proc of its PID namespace and becomes the launcher.
const containerVariable = "LOOPBACK_CONTAINER_OF"

// userVariable has the container's first process change to a user with this number, whose groups are 0 and this number.
const userVariable = "LOOPBACK_USER"

// canContain is true where the user may create PID and mount namespaces.
var canContain = sync.OnceValue(func() bool {
	probe := contained(exec.Command("/proc/self/exe"))
	probe.Env = []string{containerVariable + "=/bin/true"}
	return probe.Run() == nil
})

func contained(command *exec.Cmd) *exec.Cmd {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	return command
}

// becomeContained replaces this process, the first of its namespaces, by a program.
func becomeContained(program string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if number := os.Getenv(userVariable); number != "" {
		if err := becomeUser(number); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Unsetenv(containerVariable), os.Unsetenv(userVariable)); err != nil {
		return err
	}
	return syscall.Exec(program, append([]string{program}, os.Args[1:]...), os.Environ())
}

// becomeUser changes to a user that no file knows, as OpenShift starts containers: the group is 0, and the group of the volumes has the number of the user.
func becomeUser(number string) error {
	user, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("read the number of the user: %w", err)
	}
	if err := errors.Join(syscall.Setgroups([]int{user}), syscall.Setgid(0), syscall.Setuid(user)); err != nil {
		return fmt.Errorf("become the user %d: %w", user, err)
	}
	return nil
}

// startProcess runs the launcher as a container runtime would: nothing but the
// given environment, process 1 of its own PID namespace where that is allowed,
// and never outliving the test.
func startProcess(environment []string, output io.Writer, arguments ...string) (*process, error) {
	environment = append([]string{"PATH=" + os.Getenv("PATH")}, environment...)
	command := exec.Command(launcherBinary, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if canContain() {
		command = contained(exec.Command("/proc/self/exe", arguments...))
		environment = append(environment, containerVariable+"="+launcherBinary)
	}
	command.Env, command.Stdout, command.Stderr = environment, output, output
	command.WaitDelay = 2 * time.Second
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

func sleeping(p *process, want int) error {
	if got := len(descendants(p.command.Process.Pid)); got != want {
		return fmt.Errorf("%d processes below the launcher, not %d", got, want)
	}
	return nil
}

// noneOf says which of some processes still run.
func noneOf(pids []int) error {
	parents := parentOfAll()
	for _, pid := range pids {
		if _, runs := parents[pid]; runs {
			return fmt.Errorf("process %d still runs", pid)
		}
	}
	return nil
}
