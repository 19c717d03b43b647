// Command chartdiff shows what a user who keeps their values gets from the chart of the working tree instead of an older one:
// for every values file in ci/ that the older chart has, a unified diff of each object and of the notes. A values file that is
// new is shown as it is. Like diff, it exits with 0 when nothing differs, with 1 when something does, and with 2 on trouble.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/redis-ha/redis-ha/internal/olderchart"
	"github.com/redis-ha/redis-ha/tests/render/render"
)

const (
	same    = 0
	differs = 1
	trouble = 2
)

func main() {
	old := flag.String("old", "", "git reference of the older chart, such as a tag or HEAD")
	flag.Parse()
	found, err := compareWith(context.Background(), *old, os.Stdout)
	if err != nil {
		fmt.Fprintf(os.Stderr, "chartdiff: %v\n", err)
		os.Exit(trouble)
	}
	if found {
		os.Exit(differs)
	}
	os.Exit(same)
}

// compareWith prints what differs from the chart of a git reference, and tells whether anything does.
func compareWith(ctx context.Context, reference string, to io.Writer) (bool, error) {
	if reference == "" {
		return false, errors.New("no older version given; name one, as in `make diff OLD=HEAD`")
	}
	root, err := render.Root()
	if err != nil {
		return false, err
	}
	temporary, err := os.MkdirTemp("", "chartdiff-")
	if err != nil {
		return false, fmt.Errorf("make a folder for the older chart: %w", err)
	}
	defer os.RemoveAll(temporary)
	older, err := olderchart.Export(ctx, root, reference, temporary)
	if err != nil {
		return false, err
	}
	return compare(older, filepath.Join(root, filepath.FromSlash(olderchart.Path)), to)
}
