package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

const (
	// notRules are the tests that state no rule, only that something has changed: they would kill every mutant.
	notRules = `^TestGoldens$`
	// patience bounds one run of a test binary; longer is a hang.
	patience = 5 * time.Minute
)

// binary is the compiled tests of one package.
type binary struct {
	path, dir string // dir is the package's, where its tests run
	flags     []string
}

// suite is every test of the rendered chart.
type suite struct{ binaries []binary }

// build compiles the tests once; the environment tells them later which chart to read.
func build(ctx context.Context, root, into string) (*suite, error) {
	list := exec.CommandContext(ctx, "go", "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}", "./tests/render/...")
	list.Dir = root
	output, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages of tests/render: %w", err)
	}
	s := &suite{}
	for i, dir := range strings.Fields(string(output)) {
		b := binary{path: filepath.Join(into, fmt.Sprintf("%d.test", i)), dir: dir}
		compile := exec.CommandContext(ctx, "go", "test", "-c", "-o", b.path, ".")
		compile.Dir, compile.Stderr = dir, os.Stderr
		if err := compile.Run(); err != nil {
			return nil, fmt.Errorf("compile the tests of %s: %w", dir, err)
		}
		info, err := buildinfo.ReadFile(b.path)
		if err != nil {
			return nil, fmt.Errorf("read what %s is built of: %w", b.path, err)
		}
		for _, module := range info.Deps {
			if module.Path == "pgregory.net/rapid" {
				// The same cases for every mutant: a survivor is one in every run.
				b.flags = []string{"-rapid.checks=3", "-rapid.seed=1", "-rapid.nofailfile", "-rapid.shrinktime=0s"}
			}
		}
		s.binaries = append(s.binaries, b)
	}
	return s, nil
}

var failed = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// kill runs the tests on a chart until one fails, and names it; empty if none does. Those that are likely to fail run first.
func (s *suite) kill(ctx context.Context, chart string, likely []string) (string, error) {
	if _, err := render.Try(nil, render.Dir(chart)); err != nil {
		return "rendering", nil
	}
	if len(likely) > 0 {
		killer, err := s.run(ctx, chart, "-test.run=^("+strings.Join(likely, "|")+")$")
		if killer != "" || err != nil {
			return killer, err
		}
	}
	return s.run(ctx, chart, "-test.skip="+strings.Join(append([]string{notRules}, likely...), "|"))
}

// run runs the chosen tests of every package.
func (s *suite) run(ctx context.Context, chart string, choice ...string) (string, error) {
	for _, b := range s.binaries {
		killer, err := b.run(ctx, chart, choice...)
		if killer != "" || err != nil {
			return killer, err
		}
	}
	return "", nil
}

func (b binary) run(ctx context.Context, chart string, choice ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := exec.CommandContext(ctx, b.path, append(append([]string{"-test.failfast"}, choice...), b.flags...)...)
	command.Dir = b.dir
	command.Env = append(os.Environ(), render.ChartVariable+"="+chart, "GOMAXPROCS=1", "GOGC=400")
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("run %s: %w", filepath.Base(b.path), ctx.Err())
	case !errors.As(err, &exit):
		return "", fmt.Errorf("run %s: %w", filepath.Base(b.path), err)
	}
	if match := failed.FindSubmatch(output.Bytes()); match != nil {
		return string(match[1]), nil
	}
	if bytes.Contains(output.Bytes(), []byte("panic: ")) {
		return "a panic", nil
	}
	return "", fmt.Errorf("run %s: no test failed, and yet: %w\n%s", filepath.Base(b.path), err, output.Bytes())
}
