package render

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
)

// ChartVariable is the environment variable that names another chart directory than the repository's: `make mutate` runs the
// tests on changed copies of the chart with it.
const ChartVariable = "REDIS_HA_CHART"

// Root is the directory of the repository.
var Root = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "charts", "redis-ha", "Chart.yaml")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("find the repository: no directory above this one contains charts/redis-ha")
		}
		dir = parent
	}
})

// ChartDir is the directory of the chart.
func ChartDir() (string, error) {
	if dir := os.Getenv(ChartVariable); dir != "" {
		return dir, nil
	}
	root, err := Root()
	return filepath.Join(root, "charts", "redis-ha"), err
}

// Path is the path of a file of the chart.
func Path(t T, name string) string {
	t.Helper()
	dir, err := ChartDir()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return filepath.Join(dir, filepath.FromSlash(name))
}

// File is the content of a file of the chart.
func File(t T, name string) string {
	t.Helper()
	content, err := os.ReadFile(Path(t, name))
	if err != nil {
		t.Fatalf("read a file of the chart: %v", err)
	}
	return string(content)
}

// source is a chart as it is on disk.
type source struct {
	files  []*loader.BufferedFile
	schema *jsonschema.Schema
}

// sources are the charts read so far, by directory: each is read once per process.
var sources sync.Map

// readChart reads the chart of a directory, except its values files for tests.
func readChart(dir string) (*source, error) {
	read, _ := sources.LoadOrStore(dir, sync.OnceValues(func() (*source, error) {
		s := &source{}
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			if name = filepath.ToSlash(name); strings.HasPrefix(name, "ci/") {
				return nil
			}
			content, err := os.ReadFile(path)
			s.files = append(s.files, &loader.BufferedFile{Name: name, Data: content})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the chart: %w", err)
		}
		return s, s.compileSchema()
	}))
	return read.(func() (*source, error))()
}

// compileSchema prepares the schema of the values.
func (s *source) compileSchema() error {
	for _, file := range s.files {
		if file.Name != "values.schema.json" {
			continue
		}
		parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(file.Data))
		if err != nil {
			return fmt.Errorf("parse values.schema.json: %w", err)
		}
		const name = "file:///values.schema.json"
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource(name, parsed); err != nil {
			return fmt.Errorf("read values.schema.json: %w", err)
		}
		s.schema, err = compiler.Compile(name)
		if err != nil {
			return fmt.Errorf("compile values.schema.json: %w", err)
		}
	}
	return nil
}

// check applies the compiled schema to the values, merged over the chart's: Helm compiles the schema for every rendering, which
// takes a fifth of the time. The error has Helm's words. Without a schema of its own, a chart is left to Helm: checked is false.
func (s *source) check(loaded *chart.Chart, values Values) (checked bool, err error) {
	if s.schema == nil {
		return false, nil
	}
	merged, err := chartutil.CoalesceValues(loaded, values)
	if err != nil {
		return false, nil
	}
	if err := s.schema.Validate(map[string]any(merged)); err != nil {
		_, problems, _ := strings.Cut(err.Error(), "\n")
		return true, fmt.Errorf("values don't meet the specifications of the schema(s) in the following chart(s):\n%s:\n%s\n", loaded.Name(), problems)
	}
	return true, nil
}
