package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the top folder of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, elements ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{root(t)}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// sources joins the files below a folder whose name ends in suffix.
func sources(t *testing.T, suffix string, folder ...string) string {
	t.Helper()
	var all strings.Builder
	top := filepath.Join(append([]string{root(t)}, folder...)...)
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// documents are all texts for people, by path from the top folder.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "charts/*/README.md"} {
		paths, err := filepath.Glob(filepath.Join(root(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name, err := filepath.Rel(root(t), path)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(name)] = read(t, name)
		}
	}
	if len(texts) < 10 {
		t.Fatalf("only %d documents found", len(texts))
	}
	return texts
}

func TestPicturesAreWhatTheProgramDraws(t *testing.T) {
	for name, content := range drawings() {
		if read(t, "docs", "images", name) != content {
			t.Errorf("docs/images/%s is old: run `go run ./docs` in tools", name)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	texts := documents(t)
	seen := 0
	for name, text := range texts {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			seen++
			path := filepath.ToSlash(filepath.Join(filepath.Dir(name), target))
			if target == "" {
				path = name
			}
			if _, err := os.Stat(filepath.Join(root(t), path)); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, match[1])
			}
			if anchor != "" && !anchors(texts[path])[anchor] {
				t.Errorf("%s links to %s, which has no such heading", name, match[1])
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d links were seen", seen)
	}
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchors are the names that GitHub gives to the headings of a text.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, line := range strings.Split(text, "\n") {
		if heading := strings.TrimLeft(line, "#"); heading != line && strings.HasPrefix(heading, " ") {
			name := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			found[strings.ReplaceAll(name, " ", "-")] = true
		}
	}
	return found
}

var testName = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")

func TestNamedTestsExist(t *testing.T) {
	tests := sources(t, "_test.go", "image") + sources(t, "_test.go", "tests") + sources(t, "_test.go", "tools")
	seen := 0
	for name, text := range documents(t) {
		for _, match := range testName.FindAllStringSubmatch(text, -1) {
			seen++
			if !strings.Contains(tests, "func "+match[1]+"(") {
				t.Errorf("%s names the test %s, which does not exist", name, match[1])
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d tests were seen", seen)
	}
}

var variable = regexp.MustCompile(`\b(LAUNCHER|REDIS|POD)_[A-Z_]+\b|\bSENTINEL\b`)

func TestEveryVariableOfTheLauncherIsInTheTable(t *testing.T) {
	comment, _, _ := strings.Cut(read(t, "image", "launcher", "internal", "config", "config.go"), "\npackage config")
	_, table, found := strings.Cut(read(t, "docs", "launcher.md"), "## Environment")
	known := variable.FindAllString(comment, -1)
	if !found || len(known) < 25 {
		t.Fatalf("%d variables in the launcher's description, table found: %t", len(known), found)
	}
	for _, name := range known {
		if name != "LAUNCHER_" && !strings.Contains(table, "`"+name+"`") {
			t.Errorf("docs/launcher.md does not describe %s", name)
		}
	}
	for _, name := range variable.FindAllString(table, -1) {
		if !strings.Contains(comment, name) {
			t.Errorf("docs/launcher.md describes %s, which the launcher does not know", name)
		}
	}
}

var (
	stateName  = regexp.MustCompile(`\[\.\.\.\]string\{([^}]*)\}\[s\]`)
	metricName = regexp.MustCompile(`redis_ha_[a-z_]+`)
	quoted     = regexp.MustCompile(`"([a-z]+)"`)
)

func TestStatesAndMetricsAreThoseOfTheLauncher(t *testing.T) {
	text := read(t, "docs", "launcher.md")
	list := stateName.FindStringSubmatch(read(t, "image", "launcher", "internal", "role", "decide.go"))
	if list == nil {
		t.Fatal("the launcher's states were not found")
	}
	for _, match := range quoted.FindAllStringSubmatch(list[1], -1) {
		if !strings.Contains(text, "| `"+match[1]+"` |") {
			t.Errorf("docs/launcher.md does not describe the state %s", match[1])
		}
	}
	code := read(t, "image", "launcher", "internal", "agent", "metrics.go")
	for _, name := range metricName.FindAllString(code, -1) {
		if !strings.Contains(text, "| `"+name) {
			t.Errorf("docs/launcher.md does not describe the metric %s", name)
		}
	}
	for _, name := range metricName.FindAllString(text, -1) {
		if !strings.Contains(code, name) {
			t.Errorf("docs/launcher.md describes the metric %s, which does not exist", name)
		}
	}
}

var jsonName = regexp.MustCompile("`json:\"([a-zA-Z]+)\"`")

func TestStatusHasTheFieldsInTheText(t *testing.T) {
	text := read(t, "docs", "launcher.md")
	for path, types := range map[string][]string{
		"role/observation.go": {"Status", "Standing"}, "agent/sentinel.go": {"SentinelStatus"},
	} {
		code := read(t, "image", "launcher", "internal", path)
		for _, name := range types {
			_, fields, found := strings.Cut(code, "type "+name+" struct {")
			fields, _, _ = strings.Cut(fields, "\n}")
			names := jsonName.FindAllStringSubmatch(fields, -1)
			if !found || len(names) == 0 {
				t.Fatalf("no fields of %s found in %s", name, path)
			}
			for _, match := range names {
				if !strings.Contains(text, "`"+match[1]+"`") {
					t.Errorf("docs/launcher.md does not name the field %s of /status", match[1])
				}
			}
		}
	}
}

// The second column of the table of symptoms quotes what the launcher logs;
// "…" stands for what differs.
func TestQuotedMessagesAreThoseOfTheLauncher(t *testing.T) {
	code := strings.NewReplacer("\" +\n", "", "\t", "", "\"", "").Replace(sources(t, ".go", "image", "launcher", "internal"))
	_, table, _ := strings.Cut(read(t, "docs", "operations.md"), "## When something is wrong")
	seen := 0
	for _, line := range strings.Split(table, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.HasPrefix(strings.TrimSpace(cells[2]), "`") {
			continue
		}
		for _, part := range strings.Split(strings.Trim(strings.TrimSpace(cells[2]), "`"), "…") {
			seen++
			if !strings.Contains(code, strings.TrimSpace(part)) {
				t.Errorf("docs/operations.md quotes %q, which the launcher does not say", part)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d messages were seen", seen)
	}
}
