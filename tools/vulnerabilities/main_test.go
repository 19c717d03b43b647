package main

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serve is a database with one vulnerability, of strings.ToTitle in every version of Go.
func serve(t *testing.T) string {
	t.Helper()
	const at = `"modified":"2026-01-01T00:00:00Z"`
	files := map[string]string{
		"/index/db.json.gz":      `{` + at + `}`,
		"/index/modules.json.gz": `[{"path":"stdlib","vulns":[{"id":"GO-2026-0001",` + at + `}]}]`,
		"/ID/GO-2026-0001.json.gz": `{"schema_version":"1.3.1","id":"GO-2026-0001",` + at + `,"published":"2026-01-01T00:00:00Z","summary":"made up","details":"made up","affected":[` +
			`{"package":{"name":"stdlib","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],"ecosystem_specific":{"imports":[{"path":"strings","symbols":["ToTitle"]}]}}],"database_specific":{"url":"https://example.com/GO-2026-0001"}}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		packed := gzip.NewWriter(w)
		_, _ = packed.Write([]byte(content))
		_ = packed.Close()
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// module is a module with a program.
func module(t *testing.T, statement string) scan {
	t.Helper()
	dir := t.TempDir()
	program := "package main\n\nimport \"strings\"\n\nfunc main() { " + statement + " }\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/program\n\ngo 1.26.0\n"), 0o600))
	return scan{dir, "./..."}
}

// in changes to the folder of the tools, whose go.mod pins govulncheck, and leaves the workspace out as make does.
func in(t *testing.T) {
	t.Helper()
	t.Chdir("..")
	t.Setenv("GOWORK", "off")
}

func TestVulnerabilityThatIsCalledFails(t *testing.T) {
	in(t)
	var out bytes.Buffer
	err := check(t.Context(), &out, serve(t), false, []scan{module(t, `println(strings.ToUpper("a"))`), module(t, `println(strings.ToTitle("a"))`)})
	require.ErrorContains(t, err, "have known vulnerabilities")
	assert.Equal(t, 1, strings.Count(err.Error(), "known vulnerabilities"), "the other program does not call it")
	assert.Contains(t, out.String(), "main calls strings.ToTitle")
}

func TestProgramThatCannotBeReadFails(t *testing.T) {
	in(t)
	err := check(t.Context(), &bytes.Buffer{}, serve(t), false, []scan{module(t, `println(`)})
	assert.ErrorContains(t, err, "look for vulnerabilities of ./... in ")
}

func TestVulnerabilityThatIsNotCalledPasses(t *testing.T) {
	in(t)
	assert.NoError(t, check(t.Context(), &bytes.Buffer{}, serve(t), true, []scan{module(t, `println(strings.ToUpper("a"))`)}))
}

// A machine without internet says so; on GitHub nothing passes unchecked.
func TestDatabaseThatIsAwayIsToldAndFailsOnGitHub(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	away := server.URL
	server.Close()
	var out bytes.Buffer
	require.NoError(t, check(t.Context(), &out, away, false, shipped))
	assert.Contains(t, out.String(), "NOT CHECKED for known vulnerabilities: ./image/launcher in .., ./... in .. The database cannot be reached: ")
	assert.ErrorContains(t, check(t.Context(), &out, away, true, shipped), "reach the vulnerability database: ")

	empty := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(empty.Close)
	assert.ErrorContains(t, check(t.Context(), &out, empty.URL, true, shipped), "answers 404 Not Found")
}
