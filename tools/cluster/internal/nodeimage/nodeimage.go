// Package nodeimage provides the image that a kind cluster's nodes run: the
// published one where a registry answers and the host can boot it, else one
// that is built here from Go modules and Debian packages.
package nodeimage

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/redis-ha/redis-ha/tools/cluster/internal/cache"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/command"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/debian"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/engine"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/gobuild"
	"github.com/redis-ha/redis-ha/tools/cluster/internal/progress"
)

//go:embed files
var files embed.FS

const (
	// Suite is the Debian release of a local node. Its systemd, 252, is the
	// last that boots on hosts with cgroup v1.
	Suite = "bookworm"
	// repository is the name of local images, without the tag.
	repository = "localhost/redis-ha/"
	// buildContainer is where the images are imported into the node image.
	buildContainer = "redis-ha-node-build"
	// kindModule is the module whose start-up files a node image contains.
	kindModule = "sigs.k8s.io/kind"
)

// Builder builds the local node image.
type Builder struct {
	Cache    cache.Dir
	Runner   command.Runner
	Progress *progress.Reporter
	Engine   *engine.Engine
	Go       gobuild.Builder
	Debian   debian.Maker
	// Modules is the folder of the components' modules, tools/nodeimage.
	Modules string
	// Beside is other work that needs the network and the disk more than the
	// processors; it is done while programs are compiled.
	Beside func(ctx context.Context) error
}

// Image returns the name of the local node image and builds it if it is
// missing or does not work.
func (b Builder) Image(ctx context.Context) (string, error) {
	kindFiles, err := b.kindFiles(ctx)
	if err != nil {
		return "", err
	}
	key, err := b.key(ctx, kindFiles)
	if err != nil {
		return "", err
	}
	image := repository + "node:" + key
	if b.works(ctx, image) {
		return image, nil
	}
	programs, err := b.inputs(ctx)
	if err != nil {
		return "", err
	}
	err = b.Progress.Step("Build the node image", func() error {
		return b.build(ctx, image, key, kindFiles, programs)
	})
	if err != nil {
		return "", err
	}
	if !b.works(ctx, image) {
		return "", fmt.Errorf("the node image %s was built but does not run (see the log)", image)
	}
	return image, nil
}

// works runs two of the image's programs: an image whose layers were damaged
// exists all the same.
func (b Builder) works(ctx context.Context, image string) bool {
	if !b.Engine.HasImage(ctx, image) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return b.Engine.Run(ctx, "run", "--rm", "--network=none", "--entrypoint=sh", image, "-c",
		"kubeadm version && containerd --version && test -s /kind/version && test -s /etc/containerd/cri-base.json") == nil
}

func (b Builder) key(ctx context.Context, kindFiles string) (string, error) {
	key := cache.NewKey("node").Text(Kubernetes, Suite)
	for _, program := range Components(b.Modules) {
		path, _, err := b.Go.Cached(ctx, program)
		if err != nil {
			return "", err
		}
		key.Text(filepath.Base(path))
	}
	if err := key.Tree(kindFiles, nil); err != nil {
		return "", err
	}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		key.Text(name, string(content))
		return err
	})
	return key.Sum(), err
}

// inputs builds the programs and, at the same time, the Debian system: one
// needs the processors, the other mostly the network and the disk.
func (b Builder) inputs(ctx context.Context) (programs map[string]string, err error) {
	programs = map[string]string{}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		for _, program := range Components(b.Modules) {
			path, found, err := b.Go.Cached(ctx, program)
			if err != nil {
				return err
			}
			if !found {
				err = b.Progress.Step("Build "+program.Name, func() (err error) {
					path, err = b.Go.Build(ctx, program)
					return err
				})
			}
			if err != nil {
				return err
			}
			programs[program.Name] = path
		}
		return nil
	})
	group.Go(func() error {
		if err := b.Debian.Image(ctx, Suite, repository+"debian:"+Suite); err != nil {
			return err
		}
		return b.Beside(ctx)
	})
	return programs, group.Wait()
}

// kindFiles returns the folder of kind's start-up files for a node.
func (b Builder) kindFiles(ctx context.Context) (string, error) {
	tools := filepath.Dir(b.Modules)
	if err := b.Runner.In(tools).Run(ctx, "go", "mod", "download", kindModule); err != nil {
		return "", fmt.Errorf("download kind's module: %w", err)
	}
	dir, err := b.Runner.In(tools).Output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", kindModule)
	if err != nil {
		return "", fmt.Errorf("find kind's module: %w", err)
	}
	return filepath.Join(dir, "images", "base", "files"), nil
}

func (b Builder) build(ctx context.Context, image, key, kindFiles string, programs map[string]string) error {
	dir, err := b.Cache.Temp("node")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := stage(dir, kindFiles, programs); err != nil {
		return err
	}
	names := map[string]string{}
	for _, target := range []string{"node", "programs", "coredns", "pause"} {
		names[target] = repository + "node-" + target + ":" + key
		args := append(b.Engine.BuildArgs(), "--build-arg", "BASE="+repository+"debian:"+Suite,
			"--target", target, "-t", names[target], "-f", filepath.Join(dir, "Containerfile"), dir)
		if err := b.Engine.Run(ctx, args...); err != nil {
			return fmt.Errorf("build the image node-%s: %w", target, err)
		}
	}
	archive := filepath.Join(dir, "images.tar")
	save := []string{"save", "-o", archive}
	if b.Engine.Name == engine.Podman {
		save = append(save, "--multi-image-archive")
	}
	if err := b.Engine.Run(ctx, append(save, names["programs"], names["coredns"], names["pause"])...); err != nil {
		return fmt.Errorf("save the images of the control plane: %w", err)
	}
	return b.importImages(ctx, image, names, archive)
}

// importImages puts the images of the control plane into the node image: a
// container of it runs containerd, imports them and is committed.
func (b Builder) importImages(ctx context.Context, image string, names map[string]string, archive string) error {
	_ = b.Engine.Run(ctx, "rm", "-f", buildContainer)
	err := b.Engine.Run(ctx, "run", "-d", "--name", buildContainer, "--privileged", "--network=none",
		"--entrypoint", "sleep", names["node"], "infinity")
	if err != nil {
		return fmt.Errorf("start the build container: %w", err)
	}
	defer func() {
		_ = b.Engine.Run(context.WithoutCancel(ctx), "rm", "-f", buildContainer)
	}()
	script, err := files.ReadFile("files/import.sh")
	if err != nil {
		return err
	}
	input, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer input.Close()
	_, err = b.Runner.Input(ctx, input, b.Engine.Name, "exec", "-i",
		"-e", "KUBERNETES="+Kubernetes, "-e", "PROGRAMS="+names["programs"],
		"-e", "COREDNS="+names["coredns"], "-e", "PAUSE="+names["pause"],
		buildContainer, "sh", "-c", string(script))
	if err != nil {
		return fmt.Errorf("import the images of the control plane: %w", err)
	}
	err = b.Engine.Run(ctx, "commit",
		"--change", `ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]`, "--change", "CMD []",
		buildContainer, image)
	if err != nil {
		return fmt.Errorf("commit the node image: %w", err)
	}
	return nil
}

// stage fills the folder that the image builds take their files from.
func stage(dir, kindFiles string, programs map[string]string) error {
	for name, path := range programs {
		if err := copyFile(path, filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	containerfile, err := files.ReadFile("files/Containerfile")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "Containerfile"), containerfile, 0o644); err != nil {
		return err
	}
	root := filepath.Join(dir, "kind")
	err = filepath.WalkDir(kindFiles, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(kindFiles, path)
		if err != nil {
			return err
		}
		// The module cache keeps no modes: what is in a bin folder is executable.
		mode := fs.FileMode(0o644)
		if filepath.Base(filepath.Dir(name)) == "bin" {
			mode = 0o755
		}
		return copyFile(path, filepath.Join(root, name), mode)
	})
	if err != nil {
		return fmt.Errorf("copy kind's start-up files: %w", err)
	}
	for name, target := range map[string]string{
		"pod-network.service":  "etc/systemd/system/pod-network.service",
		"default-storage.yaml": "kind/manifests/default-storage.yaml",
	} {
		content, err := files.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		path := filepath.Join(root, target)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string, mode fs.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, mode)
}

// IsLocal tells whether an image was built by this package.
func IsLocal(image string) bool {
	return strings.HasPrefix(image, repository+"node:")
}
