package policy

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// rendered is a values file of the chart on a Kubernetes version.
type rendered struct {
	file, minor string
	release     *Release
}

// everything renders each values file for each supported version, once for all tests.
var everything = sync.OnceValue(func() []rendered {
	t := must{}
	var all []rendered
	for _, c := range render.Cases(t) {
		for _, minor := range render.KubeVersions {
			all = append(all, rendered{file: c.Name, minor: minor})
		}
	}
	values := map[string]render.Values{}
	for _, c := range render.Cases(t) {
		values[c.Name] = c.Values
	}
	var wait sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := range next {
				r, err := NewRelease(values[all[i].file], all[i].minor)
				if err != nil {
					t.Fatalf("render %s for Kubernetes %s: %v", all[i].file, all[i].minor, err)
				}
				all[i].release = r
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	wait.Wait()
	return all
})

func TestRules(t *testing.T) {
	used := map[*Exception]bool{}
	for _, rule := range Rules {
		t.Run(rule.ID, func(t *testing.T) {
			for _, r := range everything() {
				t.Run(r.file+"/"+r.minor, func(t *testing.T) {
					for _, f := range rule.Check(r.release).Findings {
						if e := Excepted(rule, r.file, f); e != nil {
							used[e] = true
							continue
						}
						t.Errorf("%s\nwhy: %s\nfix: %s", f, rule.Why, rule.Fix)
					}
				})
			}
		})
	}
	for i, e := range Exceptions {
		assert.True(t, used[&Exceptions[i]], "the exception from %s for %s at %s covers nothing: remove it", e.Rule.ID, e.Kind, e.Path)
		assert.NotEmpty(t, e.Reason, "the exception from %s has no reason", e.Rule.ID)
	}
}

// A rule that looks at nothing is kept by everything.
func TestEveryRuleHasSubjectsOnTheDefaultValues(t *testing.T) {
	r := fresh(t, "")
	for _, rule := range Rules {
		assert.Positive(t, rule.Check(r).Subjects, rule.ID)
	}
}

func TestEveryMutantIsCaught(t *testing.T) {
	for _, rule := range Rules {
		t.Run(rule.ID, func(t *testing.T) {
			assert.NotEmpty(t, rule.Mutants, "nothing shows that the rule can find something")
			for _, m := range rule.Mutants {
				t.Run(m.Name, func(t *testing.T) {
					t.Parallel()
					r := fresh(t, m.Values)
					require.Empty(t, Violations(rule, r), "before the change")
					m.Change(r)
					assert.NotEmpty(t, Violations(rule, r), "after the change")
				})
			}
		})
	}
}

// originals are the renderings that mutants are made of, by their values.
var originals sync.Map

// fresh is a release that may be changed.
func fresh(t *testing.T, values string) *Release {
	t.Helper()
	once, _ := originals.LoadOrStore(values, sync.OnceValues(func() (*Release, error) {
		return NewRelease(render.YAML(t, values), render.KubeVersions[len(render.KubeVersions)-1])
	}))
	original, err := once.(func() (*Release, error))()
	require.NoError(t, err)
	r := *original
	r.Manifests, r.Again, r.Later, r.Rekeyed, r.Long = r.Manifests.Clone(), r.Again.Clone(), r.Later.Clone(), r.Rekeyed.Clone(), nil
	for _, m := range original.Long {
		r.Long = append(r.Long, m.Clone())
	}
	return &r
}

func TestEveryRuleIsWhole(t *testing.T) {
	ids := map[string]bool{}
	for _, rule := range Rules {
		assert.Regexp(t, regexp.MustCompile(`^[a-z]+(-[a-z]+)+$`), rule.ID)
		assert.False(t, ids[rule.ID], "%s is there twice", rule.ID)
		ids[rule.ID] = true
		assert.FileExists(t, strings.ReplaceAll(rule.ID, "-", "_")+".go", "a rule is in the file of its name")
		for field, text := range map[string]string{"why": rule.Why, "fix": rule.Fix} {
			assert.True(t, strings.HasSuffix(text, "."), "%s of %s is a sentence", field, rule.ID)
		}
		assert.NotEmpty(t, rule.Title, rule.ID)
		assert.False(t, strings.HasSuffix(rule.Title, "."), "the title of %s is a claim without a full stop", rule.ID)
		if !strings.HasPrefix(rule.Reference, "https://") {
			root, err := render.Root()
			require.NoError(t, err)
			assert.FileExists(t, filepath.Join(root, rule.Reference), rule.ID)
		}
	}
}

func TestEveryRuleIsListed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	declared := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		declared += len(regexp.MustCompile(`(?m)^var [A-Z]\w+ = Rule\{`).FindAll(content, -1))
	}
	assert.Len(t, Rules, declared)
}

func TestExceptionsCoverWhatTheyName(t *testing.T) {
	e := Exceptions[0]
	f := Finding{Object: e.Kind + "/x", Path: e.Path}
	assert.NotNil(t, Excepted(e.Rule, "", f))
	assert.Nil(t, Excepted(&HooksAreDeleted, "", f), "another rule")
	assert.Nil(t, Excepted(e.Rule, "", Finding{Object: "ClusterRole/x", Path: e.Path}), "another kind")
	assert.Nil(t, Excepted(e.Rule, "", Finding{Object: f.Object, Path: "rules"}), "another field")
}

// The chart refuses the tags that the policy takes for floating ones, and no others.
func TestChartRefusesTheTagsThatFloat(t *testing.T) {
	_, list, found := strings.Cut(render.File(t, "templates/_validate.tpl"), `regexMatch ":(latest|`)
	require.True(t, found)
	list, _, _ = strings.Cut(list, ")$")
	assert.ElementsMatch(t, slices.Collect(maps.Keys(floating)), append(strings.Split(list, "|"), "latest"))
}
