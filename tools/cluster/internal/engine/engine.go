// Package engine finds a container engine that can run the privileged
// containers that a kind cluster's nodes are: Docker if it can, else Podman,
// which it installs from Debian's packages where it may.
package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/cache"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/progress"
)

// Names of the engines.
const (
	Docker = "docker"
	Podman = "podman"
	// Auto lets Find decide.
	Auto = "auto"
)

// probeTime bounds one attempt to run a container: an engine that hangs is
// no engine.
const probeTime = time.Minute

// Engine is a container engine that was seen to run a privileged container.
type Engine struct {
	// Name is Docker or Podman.
	Name string
	// Runner runs the engine's client.
	Runner command.Runner
}

// Finder looks for an engine.
type Finder struct {
	Cache    cache.Dir
	Runner   command.Runner
	Progress *progress.Reporter
	// Probe returns the path of a static program that ends at once, with
	// status 0, when it is given an argument.
	Probe func(ctx context.Context) (string, error)
}

// Find returns the first engine that works. wanted is Auto, or the one engine
// to try.
func (f Finder) Find(ctx context.Context, wanted string) (*Engine, error) {
	switch wanted {
	case Auto, Docker, Podman:
	default:
		return nil, fmt.Errorf("unknown engine %q: use %s, %s or %s", wanted, Auto, Docker, Podman)
	}
	var reasons []string
	if wanted != Podman {
		err := f.tryDocker(ctx)
		if err == nil {
			return &Engine{Name: Docker, Runner: f.Runner}, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		reasons = append(reasons, "Docker: "+firstLine(err))
	}
	if wanted != Docker {
		err := f.tryPodman(ctx)
		if err == nil {
			return &Engine{Name: Podman, Runner: f.Runner}, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		reasons = append(reasons, "Podman: "+err.Error())
	}
	return nil, fmt.Errorf("no container engine here can run a kind cluster:\n  %s\nstart Docker, or run this as root on Debian or Ubuntu so that Podman can be set up",
		strings.Join(reasons, "\n  "))
}

func (f Finder) tryDocker(ctx context.Context) error {
	if _, err := exec.LookPath(Docker); err != nil {
		return errors.New("not installed")
	}
	short, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	version, err := f.Runner.Output(short, Docker, "version", "--format", "{{.Server.Version}}")
	if err != nil {
		return errors.New("the daemon does not answer")
	}
	if strings.Contains(strings.ToLower(version), "podman") {
		return errors.New("the docker command is Podman's")
	}
	return f.runPrivileged(ctx, Docker)
}

// tryPodman uses Podman as it is configured, or with a configuration of its
// own that suits hosts without systemd or with low limits.
func (f Finder) tryPodman(ctx context.Context) error {
	if err := f.installPodman(ctx); err != nil {
		return err
	}
	if os.Getenv("CONTAINERS_CONF") != "" {
		return f.runPrivileged(ctx, Podman)
	}
	ordinary := f.runPrivileged(ctx, Podman)
	if ordinary == nil {
		return nil
	}
	conf := f.Cache.Path("containers.conf")
	if err := os.WriteFile(conf, []byte(containersConf(limits())), 0o644); err != nil {
		return fmt.Errorf("write a private containers.conf: %w", err)
	}
	// kind starts podman by itself, so the variable has to be in the
	// environment of this process.
	if err := os.Setenv("CONTAINERS_CONF", conf); err != nil {
		return err
	}
	if err := f.runPrivileged(ctx, Podman); err != nil {
		return fmt.Errorf("%w; as configured on this host: %s", err, firstLine(ordinary))
	}
	return nil
}

// runPrivileged imports an image of one small static program and runs it the
// way kind runs a node.
func (f Finder) runPrivileged(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	program, err := f.Probe(ctx)
	if err != nil {
		return err
	}
	image := "localhost/redis-ha/probe:" + filepath.Base(program)
	if f.Runner.Run(ctx, name, "image", "inspect", image) != nil {
		if err := f.importProbe(ctx, name, program, image); err != nil {
			return err
		}
	}
	err = f.Runner.Run(ctx, name, "run", "--rm", "--privileged", "--network=none", image, "/probe", "probe")
	if err != nil {
		return fmt.Errorf("cannot run a privileged container: %w", err)
	}
	return nil
}

func (f Finder) importProbe(ctx context.Context, name, program, image string) error {
	dir, err := f.Cache.Temp("probe")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "probe"), content, 0o755); err != nil {
		return err
	}
	archive := filepath.Join(dir, "probe.tar")
	if err := f.Runner.Run(ctx, "tar", "-C", dir, "-cf", archive, "probe"); err != nil {
		return err
	}
	if err := f.Runner.Run(ctx, name, "import", archive, image); err != nil {
		return fmt.Errorf("cannot import an image: %w", err)
	}
	return nil
}

// HasImage tells whether the engine holds an image of this name.
func (e *Engine) HasImage(ctx context.Context, image string) bool {
	return e.Runner.Run(ctx, e.Name, "image", "inspect", image) == nil
}

// Run executes a command of the engine's client.
func (e *Engine) Run(ctx context.Context, args ...string) error {
	return e.Runner.Run(ctx, e.Name, args...)
}

// Output executes a command of the engine's client and returns what it printed.
func (e *Engine) Output(ctx context.Context, args ...string) (string, error) {
	return e.Runner.Output(ctx, e.Name, args...)
}

// BuildArgs are the arguments with which every image build starts. A build
// that installs packages uses the host's network: it works where the
// engine's own networks have no way out.
func (e *Engine) BuildArgs() []string {
	args := []string{"build", "--network=host"}
	if e.Name == Podman {
		args = append(args, "--pull=never", "--format=docker")
	}
	return args
}

// firstLine shortens an error to its most telling line, the last of a failed
// program's output.
func firstLine(err error) string {
	var failed *command.Error
	if errors.As(err, &failed) {
		lines := strings.Split(strings.TrimSpace(failed.Output), "\n")
		if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
			return last
		}
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
