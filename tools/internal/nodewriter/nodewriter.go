// Package nodewriter brings a writer that uses client libraries for Node.js to a machine that has no Node.js: it packs the program, the
// libraries, and this machine's Node.js with the shared libraries that it needs.
package nodewriter

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Start is the file of the packed folder that runs the writer. See writer.mjs for its arguments.
const Start = "start"

// files are the program, and the exact versions of the libraries. package-lock.json holds no registry's address, so npm uses the
// registry of its own configuration. `npm install --omit-lockfile-registry-resolved` writes that file.
//
//go:embed start writer.mjs package.json package-lock.json
var files embed.FS

// Check returns an error that says what to install if this machine cannot pack the writer.
func Check() error {
	for _, program := range []string{"node", "npm", "ldd"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not on this machine; install Node.js 20 or later for Linux, with npm: %w", program, err)
		}
	}
	return nil
}

// Versions gives the pinned versions of the libraries by their names in the npm registry.
func Versions() (map[string]string, error) {
	content, err := files.ReadFile("package.json")
	if err != nil {
		return nil, fmt.Errorf("read the versions of the libraries: %w", err)
	}
	var manifest struct{ Dependencies map[string]string }
	if err := json.Unmarshal(content, &manifest); err != nil {
		return nil, fmt.Errorf("read the versions of the libraries: %w", err)
	}
	return manifest.Dependencies, nil
}

// Pack makes a folder with all that the writer needs. Node.js and its shared libraries are links to those of this machine.
func Pack(ctx context.Context, dir string) error {
	if err := os.CopyFS(dir, files); err != nil {
		return fmt.Errorf("copy the program: %w", err)
	}
	if err := os.Chmod(filepath.Join(dir, Start), 0o755); err != nil {
		return fmt.Errorf("make the program executable: %w", err)
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--engine-strict", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("install the libraries with npm ci: %w\n%s", err, output)
	}
	// The node that the shell finds may be a script of a version manager.
	node, err := output(ctx, "node", "--print", "process.execPath")
	if err != nil {
		return err
	}
	needed, err := output(ctx, "ldd", node)
	if err != nil {
		return err
	}
	links, err := sharedLibraries(needed)
	if err != nil {
		return fmt.Errorf("find the shared libraries of %s: %w", node, err)
	}
	links["node"] = node
	if err := os.Mkdir(filepath.Join(dir, "lib"), 0o755); err != nil {
		return fmt.Errorf("make a folder for shared libraries: %w", err)
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, "lib", name)); err != nil {
			return fmt.Errorf("link %s: %w", target, err)
		}
	}
	return nil
}

// output gives what a program prints, without the last end of line.
func output(ctx context.Context, name string, args ...string) (string, error) {
	said, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("run %s %q: %w", name, args, err)
	}
	return strings.TrimSpace(string(said)), nil
}

// sharedLibraries reads the output of ldd. It gives the paths of the libraries by name; that of the dynamic linker has the name loader.
func sharedLibraries(said string) (map[string]string, error) {
	found := map[string]string{}
	for line := range strings.Lines(said) {
		name, path, arrow := strings.Cut(strings.TrimSpace(line), " => ")
		if !arrow {
			path = name
		}
		path, _, _ = strings.Cut(path, " (0x")
		switch {
		case strings.HasPrefix(name, "/"):
			found["loader"] = path
		case strings.HasPrefix(path, "/"):
			found[name] = path
		case arrow:
			return nil, fmt.Errorf("%s: %s", name, path)
		}
	}
	if found["loader"] == "" {
		return nil, errors.New("ldd names no dynamic linker")
	}
	return found, nil
}
