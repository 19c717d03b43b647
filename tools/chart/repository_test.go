package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/require"
)

func TestPackagedChartIsFoundAndRenderedFromARepository(t *testing.T) {
	dir := t.TempDir()
	archive := packageChart(t, dir, "--image", image)
	url := serve(t, dir)
	eachHelm(t, func(t *testing.T, h helm) {
		h.run(t, "repo", "add", "stable", url)
		found := strings.Fields(h.run(t, "search", "repo", "stable/redis-ha", "--output", "table"))
		require.Contains(t, found, "stable/redis-ha")
		require.Contains(t, found, versionOf(archive))
		rendered := h.run(t, "template", "redis-ha", "stable/redis-ha")
		require.Contains(t, rendered, "image: \""+image+"\"")
		require.NotContains(t, rendered, "image: \"redis-ha:")
	})
}

// signingKey is a key that nobody uses after the test.
type signingKey struct {
	private, public, passphraseFile string
}

const keyName = "redis-ha test key"

func newKey(t *testing.T) signingKey {
	t.Helper()
	entity, err := openpgp.NewEntity(keyName, "", "nobody@example.com", nil)
	require.NoError(t, err)
	dir := t.TempDir()
	key := signingKey{filepath.Join(dir, "secring.gpg"), filepath.Join(dir, "pubring.gpg"), filepath.Join(dir, "passphrase")}
	public, err := os.Create(key.public)
	require.NoError(t, err)
	require.NoError(t, entity.Serialize(public))
	require.NoError(t, public.Close())
	require.NoError(t, entity.EncryptPrivateKeys([]byte("open sesame"), nil))
	require.NoError(t, os.WriteFile(key.passphraseFile, []byte("open sesame\n"), 0o600))
	private, err := os.Create(key.private)
	require.NoError(t, err)
	require.NoError(t, entity.SerializePrivateWithoutSigning(private, nil))
	require.NoError(t, private.Close())
	return key
}

// packageSigned packages the chart with a signature.
func packageSigned(t *testing.T, dir string, key signingKey) string {
	t.Helper()
	return packageChart(t, dir, "--image", image,
		"--key", keyName, "--keyring", key.private, "--passphrase-file", key.passphraseFile)
}

func TestSignedChartIsVerified(t *testing.T) {
	dir := t.TempDir()
	key, other := newKey(t), newKey(t)
	archive := packageSigned(t, dir, key)
	url := serve(t, dir)

	changed := filepath.Join(t.TempDir(), filepath.Base(archive))
	content, err := os.ReadFile(archive)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(changed, append(content, 0), 0o644))
	provenance, err := os.ReadFile(archive + ".prov")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(changed+".prov", provenance, 0o644))

	eachHelm(t, func(t *testing.T, h helm) {
		h.run(t, "verify", archive, "--keyring", key.public)
		h.run(t, "repo", "add", "stable", url)
		h.run(t, "template", "redis-ha", "stable/redis-ha", "--verify", "--keyring", key.public)

		_, _, err := h.try(t, "verify", archive, "--keyring", other.public)
		require.Error(t, err, "another key")
		_, failure, err := h.try(t, "verify", changed, "--keyring", key.public)
		require.Error(t, err, "another archive")
		require.Contains(t, failure, "sha256")
	})
}

func TestChartTravelsThroughARegistryWithItsProvenance(t *testing.T) {
	key := newKey(t)
	archive := packageSigned(t, t.TempDir(), key)
	eachHelm(t, func(t *testing.T, h helm) {
		server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		t.Cleanup(server.Close)
		charts := "oci://" + strings.TrimPrefix(server.URL, "http://") + "/charts"

		h.run(t, "push", archive, charts, "--plain-http")
		require.Contains(t, h.run(t, "show", "chart", charts+"/redis-ha", "--plain-http"), "version: "+versionOf(archive))
		h.run(t, "pull", charts+"/redis-ha", "--version", versionOf(archive), "--plain-http",
			"--verify", "--keyring", key.public, "--destination", h.home)
		pulled, err := os.ReadFile(filepath.Join(h.home, filepath.Base(archive)))
		require.NoError(t, err)
		pushed, err := os.ReadFile(archive)
		require.NoError(t, err)
		require.Equal(t, pushed, pulled)
		require.Contains(t, h.run(t, "template", "redis-ha", charts+"/redis-ha", "--plain-http"), image)
	})
}
