package pack

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/repo"
)

const chartFolder = "../../../../charts/redis-ha"

func TestImageIsSetInValuesSchemaAndReadmeOfTheArchiveOnly(t *testing.T) {
	const image = "registry.example.com/redis-ha:8.0.2-r1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	before, err := os.ReadFile(filepath.Join(chartFolder, "values.yaml"))
	require.NoError(t, err)
	archive, err := Repository{Chart: chartFolder, Destination: t.TempDir(), Image: image}.Make()
	require.NoError(t, err)

	packed, err := loader.Load(archive)
	require.NoError(t, err)
	assert.Equal(t, image, packed.Values["redis_image"])
	assert.Contains(t, string(packed.Schema), image)
	for _, file := range packed.Files {
		if file.Name == "README.md" {
			assert.Contains(t, string(file.Data), "| redis_image | string | `\""+image+"\"` |")
		}
	}
	after, err := os.ReadFile(filepath.Join(chartFolder, "values.yaml"))
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after), "the chart's own values")
}

func TestArchiveHoldsTheChartAsItIs(t *testing.T) {
	source, err := loader.Load(chartFolder)
	require.NoError(t, err)
	archive, err := Repository{Chart: chartFolder, Destination: t.TempDir()}.Make()
	require.NoError(t, err)
	packed, err := loader.Load(archive)
	require.NoError(t, err)
	assert.Equal(t, source.Values, packed.Values)
	assert.Equal(t, source.Templates, packed.Templates)
	for _, file := range packed.Files {
		assert.NotContains(t, file.Name, "ci/", "values files of the tests")
	}
}

func TestVersionHasToBeTheOneOfTheChart(t *testing.T) {
	_, err := Repository{Chart: chartFolder, Destination: t.TempDir(), Version: "999.0.0"}.Make()
	assert.ErrorContains(t, err, "999.0.0 is to be packaged")
}

func TestIndexKeepsEarlierVersionsAndReplacesItsOwn(t *testing.T) {
	earlier := filepath.Join(t.TempDir(), "index.yaml")
	require.NoError(t, os.WriteFile(earlier, []byte(`apiVersion: v1
entries:
  redis-ha:
    - {apiVersion: v2, name: redis-ha, version: 0.0.9, digest: earlier, urls: ["https://example.com/v0.0.9/redis-ha-0.0.9.tgz"]}
    - {apiVersion: v2, name: redis-ha, version: 0.1.0, digest: earlier, urls: ["https://example.com/old/redis-ha-0.1.0.tgz"]}
`), 0o644))
	dir := t.TempDir()
	archive, err := Repository{Chart: chartFolder, Destination: dir, URL: "https://example.com/v0.1.0", Index: earlier}.Make()
	require.NoError(t, err)
	index, err := repo.LoadIndexFile(filepath.Join(dir, "index.yaml"))
	require.NoError(t, err)

	kept, err := index.Get("redis-ha", "0.0.9")
	require.NoError(t, err)
	assert.Equal(t, []string{"https://example.com/v0.0.9/redis-ha-0.0.9.tgz"}, kept.URLs)
	packed, err := loader.Load(archive)
	require.NoError(t, err)
	own, err := index.Get("redis-ha", packed.Metadata.Version)
	require.NoError(t, err)
	assert.Equal(t, []string{"https://example.com/v0.1.0/" + filepath.Base(archive)}, own.URLs)
	assert.NotEqual(t, "earlier", own.Digest)
}

func TestIndexOfEarlierVersionsMayBeMissing(t *testing.T) {
	_, err := Repository{Chart: chartFolder, Destination: t.TempDir(), Index: filepath.Join(t.TempDir(), "none.yaml")}.Make()
	assert.NoError(t, err)
}

func TestKeyNeedsItsKeyring(t *testing.T) {
	_, err := Repository{Chart: chartFolder, Destination: t.TempDir(), Key: Key{Name: "somebody"}}.Make()
	assert.ErrorContains(t, err, "name both the key and the keyring")
}
