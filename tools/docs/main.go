// Command docs draws the diagrams of the documentation into docs/images. Run it
// in the folder tools after a change: go run ./docs
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// drawings are all pictures by file name.
func drawings() map[string]string {
	return map[string]string{
		"release.svg":   release(),
		"hand-over.svg": handOver(),
	}
}

func main() {
	if err := draw(); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func draw() error {
	root, err := repository()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "docs", "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create the folder of the pictures: %w", err)
	}
	for name, content := range drawings() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("write a picture: %w", err)
		}
	}
	return nil
}

// repository gives the top folder of the repository that the current folder is in.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "charts", "redis-ha", "Chart.yaml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the repository: this folder is not inside it; run the program in the folder tools")
		}
	}
}
