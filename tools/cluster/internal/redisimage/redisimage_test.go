package redisimage

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFullName(t *testing.T) {
	for short, full := range map[string]string{
		"redis-ha:8.0.2-r1":                 "docker.io/library/redis-ha:8.0.2-r1",
		"me/redis-ha:1":                     "docker.io/me/redis-ha:1",
		"localhost/redis-ha:1":              "localhost/redis-ha:1",
		"registry.example:5000/redis-ha:1":  "registry.example:5000/redis-ha:1",
		"registry.example/group/redis-ha:1": "registry.example/group/redis-ha:1",
	} {
		assert.Equal(t, full, fullName(short))
	}
}

func TestTag(t *testing.T) {
	for name, want := range map[string]string{
		"redis-ha:8.0.2-r1":              "8.0.2-r1",
		"registry.example:5000/redis-ha": "unknown",
		"redis-ha:1@sha256:abc":          "1",
	} {
		assert.Equal(t, want, tag(name), name)
	}
}

func TestChartImage(t *testing.T) {
	repo := t.TempDir()
	values := filepath.Join(repo, "charts", "redis-ha", "values.yaml")
	require.NoError(t, os.MkdirAll(filepath.Dir(values), 0o755))
	_, err := chartImage(repo)
	assert.ErrorContains(t, err, "read the chart's values")
	require.NoError(t, os.WriteFile(values, []byte("redis_image: redis-ha:1\nother: [1]\n"), 0o644))
	image, err := chartImage(repo)
	require.NoError(t, err)
	assert.Equal(t, "redis-ha:1", image)
	require.NoError(t, os.WriteFile(values, []byte("other: 1\n"), 0o644))
	_, err = chartImage(repo)
	assert.ErrorContains(t, err, "no redis_image")
}
