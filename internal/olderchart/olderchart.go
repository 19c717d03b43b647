// Package olderchart finds the charts of earlier commits of this repository,
// to compare the present one with and to upgrade from.
package olderchart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Path is the chart's folder in every version of the repository.
const Path = "charts/redis-ha"

// Previous is the git reference of the chart that the present one replaces:
// the newest release before this commit or, as long as there is none, the
// first chart that this clone knows of. A shallow clone may know no other than
// its own.
func Previous(ctx context.Context, repository string) (reference string, err error) {
	tag, err := Git(ctx, repository, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^")
	if err == nil {
		return tag, nil
	}
	commits, err := Git(ctx, repository, "log", "--format=%H", "HEAD", "--", Path+"/Chart.yaml")
	if err != nil {
		return "", fmt.Errorf("look for the chart in the history of %s: %w", repository, err)
	}
	all := strings.Fields(commits)
	if len(all) == 0 {
		return "", fmt.Errorf("no commit of %s has %s/Chart.yaml: commit the chart", repository, Path)
	}
	return all[len(all)-1], nil
}

// Export writes the chart of a git reference into a folder that exists and
// returns the folder of the chart in it.
func Export(ctx context.Context, repository, reference, into string) (chart string, err error) {
	archive := exec.CommandContext(ctx, "git", "-C", repository, "archive", "--format=tar", reference, Path)
	unpack := exec.CommandContext(ctx, "tar", "-x", "-C", into)
	var archiving, unpacking bytes.Buffer
	archive.Stderr, unpack.Stderr = &archiving, &unpacking
	if unpack.Stdin, err = archive.StdoutPipe(); err != nil {
		return "", fmt.Errorf("read the chart of %s: %w", reference, err)
	}
	if err := archive.Start(); err != nil {
		return "", fmt.Errorf("start git: %w", err)
	}
	unpacked := unpack.Run()
	if err := archive.Wait(); err != nil {
		return "", fmt.Errorf("read the chart of %q with git archive: %w: %s; is it a commit, a branch or a tag of this clone?",
			reference, err, bytes.TrimSpace(archiving.Bytes()))
	}
	if unpacked != nil {
		return "", fmt.Errorf("unpack the chart of %s: %w: %s", reference, unpacked, bytes.TrimSpace(unpacking.Bytes()))
	}
	return filepath.Join(into, filepath.FromSlash(Path)), nil
}

// Git runs git in a repository and gives what it prints; an error says what git
// says.
func Git(ctx context.Context, repository string, args ...string) (string, error) {
	output, err := exec.CommandContext(ctx, "git", append([]string{"-C", repository}, args...)...).Output()
	var failure *exec.ExitError
	if errors.As(err, &failure) {
		err = fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(failure.Stderr))
	}
	return strings.TrimSpace(string(output)), err
}
