package loopback

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/tests/render/render"
)

// withoutEffect are directives that Redis accepts from earlier versions, and does not know otherwise.
var withoutEffect = []string{"io-threads-do-reads", "list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"}

// chartDirectives are those that the chart takes for directives of Redis.
func chartDirectives(t *testing.T) []string {
	t.Helper()
	_, after, found := strings.Cut(render.File(t, "templates/_directives.tpl"), "{{- define \"redis-ha.directives\" -}}")
	list, _, closed := strings.Cut(after, "{{- end -}}")
	if !found || !closed {
		t.Fatal("the chart has no list of directives")
	}
	return strings.Fields(list)
}

// The chart refuses directives by their names; those it accepts are the ones that redis-server has, apart from the launcher's.
func TestDirectivesOfTheChartAreThoseOfRedis(t *testing.T) {
	t.Parallel()
	version, err := exec.Command("redis-server", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(version), "v=8.0.") {
		t.Skipf("the list is that of Redis 8.0, not of %s", version)
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "socket")
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	defer client.Close()
	eventually(t, settle, "redis", func() error { return client.Ping(t.Context()).Err() })
	chart := chartDirectives(t)
	all, err := client.ConfigGet(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for name := range all {
		// Names with an underscore are old ones of those with a hyphen.
		if !config.Owned(name) && !strings.Contains(name, "_") && !slices.Contains(chart, name) {
			t.Errorf("the chart would refuse %s", name)
		}
	}
	for _, name := range chart {
		if config.Owned(name) {
			t.Errorf("%s is a directive of the launcher", name)
		}
		// Redis does not list all of them, but tells the value of each.
		values, err := client.ConfigGet(t.Context(), name).Result()
		if err != nil || len(values) == 0 && !slices.Contains(withoutEffect, name) {
			t.Errorf("redis-server does not know %s (%v)", name, err)
		}
	}
	for _, name := range withoutEffect {
		output, err := exec.Command("redis-server", "--port", "0", "--dir", dir, "--"+name, "1").CombinedOutput()
		if !strings.Contains(string(output), "not listen anywhere") {
			t.Errorf("redis-server does not accept %s (%v): %s", name, err, output)
		}
	}
}
