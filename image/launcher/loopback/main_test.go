package loopback

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"
)

// launcherBinary is built once for all tests.
var launcherBinary string

// clustersAtOnce is how many tests run beside each other unless -parallel
// says otherwise. They wait more than they compute, but on two cores a fourth
// would be one that the others notice.
const clustersAtOnce = "3"

func TestMain(m *testing.M) {
	if program := os.Getenv(containerVariable); program != "" {
		fmt.Fprintln(os.Stderr, becomeContained(program))
		os.Exit(125)
	}
	flag.Parse()
	explicit := false
	flag.Visit(func(f *flag.Flag) { explicit = explicit || f.Name == "test.parallel" })
	if !explicit {
		if err := flag.Set("test.parallel", clustersAtOnce); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if _, err := exec.LookPath("redis-server"); err != nil {
		fmt.Fprintf(os.Stderr, "these tests need redis-server (Debian: apt-get install redis-server): %v\n", err)
		return 1
	}
	dir, err := os.MkdirTemp("", "launcher")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // some launchers have another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	launcherBinary = filepath.Join(dir, "launcher")
	build := exec.Command("go", "build", "-o", launcherBinary, "github.com/redis-ha/redis-ha/image/launcher")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the launcher: %v\n%s", err, output)
		return 1
	}
	redis.SetLogger(silence{})
	return m.Run()
}

// silence is the log of go-redis: what a test may know it gets as an error.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
