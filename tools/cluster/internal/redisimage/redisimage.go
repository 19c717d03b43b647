// Package redisimage builds the image of redis-ha when its inputs changed and
// keeps it as an archive that can be loaded into a cluster.
package redisimage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/cache"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/debian"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/progress"
)

const (
	// suite and base are the Debian release of image/Dockerfile and the name
	// by which it asks for it.
	suite = "trixie"
	base  = "docker.io/library/debian:trixie-slim"
	// askTime and pullTime bound the question for the base image and its
	// download, some 30 MB.
	askTime  = 15 * time.Second
	pullTime = 5 * time.Minute
	// madeHere labels images, so that old ones can be removed without touching
	// anybody else's.
	madeHere = "redis-ha.made-by=cluster-tool"
	// keptArchives is how many archives of one image stay in the cache.
	keptArchives = 3
)

// Builder builds images of static programs.
type Builder struct {
	Cache    cache.Dir
	Runner   command.Runner
	Progress *progress.Reporter
	Engine   *engine.Engine
	Debian   debian.Maker
	// Repo is the folder of the repository.
	Repo string
}

// Archive is an image in a file.
type Archive struct {
	// Image is its name, as containerd completes it.
	Image string
	// Path is the file.
	Path string
	// Key tells its content apart from others of the same name.
	Key string
}

// Redis returns the image of redis-ha under the name that the chart uses.
// variant is what the Dockerfile calls ENGINE: redis or valkey.
func (b Builder) Redis(ctx context.Context, variant string) (Archive, error) {
	name, err := chartImage(b.Repo)
	if err != nil {
		return Archive{}, err
	}
	if err := b.EnsureBase(ctx); err != nil {
		return Archive{}, err
	}
	// The layers say what is in the image; its ID would also say when it was
	// imported.
	layers, err := b.Engine.Output(ctx, "image", "inspect", "--format", "{{.RootFS.Layers}}", base)
	if err != nil {
		return Archive{}, fmt.Errorf("inspect the base image: %w", err)
	}
	return b.image(ctx, recipe{
		image: fullName(name), dockerfile: filepath.Join(b.Repo, "image", "Dockerfile"),
		program: "launcher", module: b.Repo, pkg: "./image/launcher",
		args: dockerfileArgs(variant, name), inputs: []string{layers},
		version: tag(name),
	})
}

// dockerfileArgs are the arguments that image/Dockerfile gets for a variant, under the name of the chart's image. The versions of the
// packages are its own.
func dockerfileArgs(variant, name string) []string {
	return []string{"--build-arg", "BASE=" + base, "--build-arg", "ENGINE=" + variant, "--build-arg", "TAG=" + tag(name)}
}

// Writer returns the image of the demonstration's client.
func (b Builder) Writer(ctx context.Context) (Archive, error) {
	tools := filepath.Join(b.Repo, "tools")
	return b.image(ctx, recipe{
		image: fullName("redis-ha-writer:dev"), dockerfile: filepath.Join(tools, "writer", "Dockerfile"),
		program: "writer", module: tools, pkg: "./writer",
	})
}

// recipe is one Dockerfile around one static program.
type recipe struct {
	image, dockerfile    string
	program, module, pkg string
	args, inputs         []string
	// version is what the program reports.
	version string
}

func (b Builder) image(ctx context.Context, r recipe) (Archive, error) {
	dir, err := b.Cache.Temp(r.program)
	if err != nil {
		return Archive{}, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, r.program)
	// Go decides faster than a hash of all sources whether there is anything
	// to compile; equal sources give equal files.
	err = b.Progress.Step("Build the "+r.program, func() error {
		return b.Runner.In(r.module).With("CGO_ENABLED=0", "GOOS=linux", "GOWORK=off").Run(ctx, "go", "build",
			"-trimpath", "-buildvcs=false", "-ldflags=-s -w -X main.version="+r.version, "-o", program, r.pkg)
	})
	if err != nil {
		return Archive{}, fmt.Errorf("build the %s: %w", r.program, err)
	}
	key := cache.NewKey("image").Text(r.image, b.Engine.Name).Text(r.args...).Text(r.inputs...)
	for _, input := range []string{program, r.dockerfile} {
		if err := key.File(input); err != nil {
			return Archive{}, err
		}
	}
	archive := Archive{Image: r.image, Key: key.Sum()}
	archive.Path = b.Cache.Path("images", r.program+"-"+archive.Key+".tar")
	if _, err := os.Stat(archive.Path); err == nil {
		return archive, cache.Used(archive.Path)
	}
	err = b.Progress.Step("Build the image "+r.image, func() error { return b.build(ctx, r, dir, archive.Path) })
	if err != nil {
		return Archive{}, err
	}
	return archive, b.Cache.Prune("images", r.program+"-*.tar", keptArchives)
}

func (b Builder) build(ctx context.Context, r recipe, dir, archive string) error {
	args := append(b.Engine.BuildArgs(), r.args...)
	if err := b.Engine.Run(ctx, append(args, "--label", madeHere, "-t", r.image, "-f", r.dockerfile, dir)...); err != nil {
		return fmt.Errorf("build the image %s: %w", r.image, err)
	}
	// Images that just lost their name to a newer one are of no more use.
	_ = b.Engine.Run(ctx, "image", "prune", "--force", "--filter", "label="+madeHere)
	unfinished := filepath.Join(dir, "image.tar")
	if err := b.Engine.Run(ctx, "save", "-o", unfinished, r.image); err != nil {
		return fmt.Errorf("save the image %s: %w", r.image, err)
	}
	return os.Rename(unfinished, archive)
}

// EnsureBase makes the base image available: the published one, or a minimal
// system of the same Debian release under its name.
func (b Builder) EnsureBase(ctx context.Context) error {
	if b.Engine.HasImage(ctx, base) {
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if b.Engine.Run(ask, "manifest", "inspect", base) == nil {
		return b.Progress.Step("Download "+base, func() error {
			pull, cancel := context.WithTimeout(ctx, pullTime)
			defer cancel()
			return b.Engine.Run(pull, "pull", base)
		})
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return b.Debian.Image(ctx, suite, base)
}

// chartImage reads the image that the chart uses by default.
func chartImage(repo string) (string, error) {
	content, err := os.ReadFile(filepath.Join(repo, "charts", "redis-ha", "values.yaml"))
	if err != nil {
		return "", fmt.Errorf("read the chart's values: %w", err)
	}
	var values struct {
		Image string `json:"redis_image"`
	}
	if err := yaml.Unmarshal(content, &values); err != nil {
		return "", fmt.Errorf("parse the chart's values: %w", err)
	}
	if values.Image == "" {
		return "", fmt.Errorf("the chart's values.yaml has no redis_image")
	}
	return values.Image, nil
}

// fullName completes a short image name the way that containerd does.
func fullName(name string) string {
	first, _, hasPath := strings.Cut(name, "/")
	switch {
	case !hasPath:
		return "docker.io/library/" + name
	case strings.ContainsAny(first, ".:") || first == "localhost":
		return name
	default:
		return "docker.io/" + name
	}
}

// tag returns the tag of an image name, or "unknown" if it has none.
func tag(name string) string {
	name, _, _ = strings.Cut(name, "@")
	colon := strings.LastIndex(name, ":")
	if colon < 0 || strings.Contains(name[colon:], "/") {
		return "unknown"
	}
	return name[colon+1:]
}
