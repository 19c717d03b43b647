// Package gobuild compiles pinned Go programs into the cache, each under a
// name that holds a hash of its sources, its go.sum and its build flags.
package gobuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/cache"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
)

// keptBuilds is how many builds of one program stay in the cache.
const keptBuilds = 4

// Program is a Go program and how to build it.
type Program struct {
	// Name of the resulting file.
	Name string
	// Module is the folder with the go.mod that pins the program.
	Module string
	// Package is its import path, or a path inside the module.
	Package string
	// Pinned is a program all of whose code comes from other modules: go.mod
	// and go.sum determine it, and the module's own sources do not matter.
	Pinned bool
	// Variables are set by the linker: import path and name to value.
	Variables []string
	// Tags are build tags.
	Tags []string
	// OS is the system it runs on; empty means the host's.
	OS string
}

// Builder compiles programs into the cache.
type Builder struct {
	Cache  cache.Dir
	Runner command.Runner
}

// Cached returns where the program is or will be, and whether it is there.
func (b Builder) Cached(ctx context.Context, program Program) (path string, found bool, err error) {
	version, err := b.Runner.In(program.Module).Output(ctx, "go", "env", "GOVERSION", "GOARCH")
	if err != nil {
		return "", false, fmt.Errorf("ask go for its version: %w", err)
	}
	key := cache.NewKey("program").Text(version, program.Package, program.OS)
	key.Text(program.Variables...).Text(program.Tags...)
	for _, pin := range []string{"go.mod", "go.sum"} {
		if _, err := os.Stat(filepath.Join(program.Module, pin)); err == nil {
			if err := key.File(filepath.Join(program.Module, pin)); err != nil {
				return "", false, err
			}
		}
	}
	if !program.Pinned {
		if err := key.Tree(program.Module, cache.SourceFiles); err != nil {
			return "", false, err
		}
	}
	path = b.Cache.Path("bin", program.Name+"-"+key.Sum())
	if _, err := os.Stat(path); err != nil {
		return path, false, nil
	}
	return path, true, cache.Used(path)
}

// Build returns the path of the compiled program, compiling it if need be.
func (b Builder) Build(ctx context.Context, program Program) (string, error) {
	path, found, err := b.Cached(ctx, program)
	if err != nil || found {
		return path, err
	}
	dir, err := b.Cache.Temp(program.Name)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", program.Name, err)
	}
	defer os.RemoveAll(dir)
	output := filepath.Join(dir, program.Name)
	if err := b.compile(ctx, program, output); err != nil {
		return "", err
	}
	if err := os.Rename(output, path); err != nil {
		return "", fmt.Errorf("keep %s in the cache: %w", program.Name, err)
	}
	// A hash follows the name: other programs' names may begin alike.
	return path, b.Cache.Prune("bin", program.Name+"-"+strings.Repeat("[0-9a-f]", 16), keptBuilds)
}

// compile builds the module by itself: a workspace would exclude it, or choose
// other versions than its go.mod.
func (b Builder) compile(ctx context.Context, program Program, output string) error {
	flags := []string{"-s", "-w"}
	for _, variable := range program.Variables {
		flags = append(flags, "-X", variable)
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", strings.Join(flags, " ")}
	if len(program.Tags) > 0 {
		args = append(args, "-tags", strings.Join(program.Tags, " "))
	}
	env := []string{"CGO_ENABLED=0", "GOWORK=off"}
	if program.OS != "" {
		env = append(env, "GOOS="+program.OS)
	}
	err := b.Runner.In(program.Module).With(env...).Run(ctx, "go", append(args, "-o", output, program.Package)...)
	if err != nil {
		return fmt.Errorf("build %s: %w", program.Name, err)
	}
	return nil
}
