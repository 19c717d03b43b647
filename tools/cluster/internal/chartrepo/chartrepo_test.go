package chartrepo

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseStatus(t *testing.T) {
	for output, want := range map[string]string{
		`[]`: "",
		`[{"name":"redis-ha","status":"deployed"}]`:        "deployed",
		`[{"name":"redis-ha","status":"pending-install"}]`: "pending-install",
	} {
		status, err := parseStatus(output)
		require.NoError(t, err)
		assert.Equal(t, want, status)
	}
	_, err := parseStatus("WARNING")
	assert.Error(t, err)
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.yaml"), []byte("apiVersion: v1"), 0o644))
	url, stop, err := serve(dir)
	require.NoError(t, err)
	response, err := http.Get(url + "/index.yaml")
	require.NoError(t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, "apiVersion: v1", string(content))
	stop()
	_, err = http.Get(url)
	assert.Error(t, err, "the server ends with the installation")
}
