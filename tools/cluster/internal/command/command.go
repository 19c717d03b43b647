// Package command runs other programs: it records what they print in a log
// and, when one fails, returns an error that ends with its last lines.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// tailLines is how much of a failed program's output its error carries.
const tailLines = 20

// Runner runs programs in one folder with one environment. The zero value
// runs them in the current folder with the tool's own environment.
type Runner struct {
	// Dir is the working folder; empty means the current one.
	Dir string
	// Env holds additional KEY=value pairs.
	Env []string
	// Log receives each command line and what the program printed; nil drops it.
	Log io.Writer
}

// With returns a copy of the runner with additional environment variables.
func (r Runner) With(env ...string) Runner {
	r.Env = append(append([]string{}, r.Env...), env...)
	return r
}

// In returns a copy of the runner that works in another folder.
func (r Runner) In(dir string) Runner {
	r.Dir = dir
	return r
}

// Run executes a program and waits for it.
func (r Runner) Run(ctx context.Context, name string, args ...string) error {
	_, err := r.execute(ctx, nil, name, args)
	return err
}

// Output executes a program and returns its standard output without the
// final newline.
func (r Runner) Output(ctx context.Context, name string, args ...string) (string, error) {
	output, err := r.execute(ctx, nil, name, args)
	return strings.TrimRight(output, "\n"), err
}

// Input executes a program that reads stdin, and returns its standard output.
func (r Runner) Input(ctx context.Context, stdin io.Reader, name string, args ...string) (string, error) {
	return r.execute(ctx, stdin, name, args)
}

func (r Runner) execute(ctx context.Context, stdin io.Reader, name string, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = r.Dir
	cmd.Env = append(os.Environ(), r.Env...)
	cmd.Stdin = stdin
	// Grandchildren may keep the pipes open after a cancelled program died.
	cmd.WaitDelay = 5 * time.Second
	var stdout bytes.Buffer
	both := &lockedBuffer{}
	cmd.Stdout = io.MultiWriter(&stdout, both)
	cmd.Stderr = both
	start := time.Now()
	err := cmd.Run()
	r.record(name, args, both.String(), time.Since(start), err)
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	return stdout.String(), &Error{Name: name, Args: args, Output: both.String(), Err: err}
}

// recordMutex keeps the log entries of concurrent programs apart.
var recordMutex sync.Mutex

func (r Runner) record(name string, args []string, output string, took time.Duration, err error) {
	if r.Log == nil {
		return
	}
	recordMutex.Lock()
	defer recordMutex.Unlock()
	fmt.Fprintf(r.Log, "%s $ %s %s\n%s", time.Now().UTC().Format(time.RFC3339), name, strings.Join(args, " "), output)
	if err != nil {
		fmt.Fprintf(r.Log, "failed after %.1fs: %v\n", took.Seconds(), err)
	}
}

// Error is a program that failed, with what it printed.
type Error struct {
	// Name and Args are the program and its arguments.
	Name string
	Args []string
	// Output is everything it wrote to standard output and standard error.
	Output string
	// Err is why it counts as failed.
	Err error
}

// Error names the program and ends with its last lines.
func (e *Error) Error() string {
	subject := e.Name
	for _, arg := range e.Args {
		if strings.HasPrefix(arg, "-") {
			continue
		}
		subject += " " + arg
		if len(subject) > 60 {
			break
		}
	}
	if tail := Tail(e.Output, tailLines); tail != "" {
		return fmt.Sprintf("%s: %v:\n%s", subject, e.Err, tail)
	}
	return fmt.Sprintf("%s: %v", subject, e.Err)
}

// Unwrap returns why the program counts as failed.
func (e *Error) Unwrap() error { return e.Err }

// Tail returns the last lines of a text, indented by two spaces.
func Tail(text string, lines int) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	all := strings.Split(text, "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return "  " + strings.Join(all, "\n  ")
}

// lockedBuffer takes standard output and standard error at the same time.
type lockedBuffer struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}
