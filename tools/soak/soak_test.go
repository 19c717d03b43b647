package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

func TestTestsThatDrawCasesAreFoundAlsoWhereAHelperDraws(t *testing.T) {
	dir := t.TempDir()
	source := `package some

func TestDirect(t *testing.T)   { rapid.Check(t, nil) }
func TestSubtest(t *testing.T)  { t.Run("", func(t *testing.T) { rapid.Check(t, nil) }) }
func TestThrough(t *testing.T)  { always(t) }
func TestMade(t *testing.T)     { t.Run("", rapid.MakeCheck(nil)) }
func TestExample(t *testing.T)  { rapid.Int().Example() }
func TestNothing(t *testing.T)  { recursive() }
func BenchmarkDraws(*testing.B) { always(nil) }
func always(t *testing.T)       { further(t) }
func further(t *testing.T)      { rapid.Check(t, nil) }
func recursive()                { recursive() }
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "some_test.go"), []byte(source), 0o644))
	found, err := drawing(listed{Dir: dir, XTestGoFiles: []string{"some_test.go"}})
	require.NoError(t, err)
	require.Equal(t, []string{"TestDirect", "TestMade", "TestSubtest", "TestThrough"}, found)
}

func TestEveryPackageThatImportsRapidHasATestThatDraws(t *testing.T) {
	root, err := render.Root()
	require.NoError(t, err)
	all, err := packages(t.Context(), root)
	require.NoError(t, err)
	imports := regexp.MustCompile(`"pgregory\.net/rapid"`)
	releases := 0
	for _, p := range all {
		tests, err := drawing(p)
		require.NoError(t, err)
		for _, test := range tests {
			if test == release {
				releases++
			}
		}
		for _, file := range append(p.TestGoFiles, p.XTestGoFiles...) {
			content, err := os.ReadFile(filepath.Join(p.Dir, file))
			require.NoError(t, err)
			require.False(t, imports.Match(content) && len(tests) == 0, "%s imports rapid, and no test of %s draws cases", file, p.ImportPath)
		}
	}
	require.Equal(t, 1, releases, "the simulated release, which gets half of the time, is %s", release)
}

func TestSimulatedReleaseHasHalfOfTheTime(t *testing.T) {
	a, b, simulated := &property{test: "A"}, &property{test: "B"}, &property{test: release}
	for range 1000 {
		next([]*property{a, simulated, b}).used += time.Second
	}
	require.Equal(t, 500*time.Second, simulated.used)
	require.Equal(t, a.used, b.used)
	require.Same(t, a, next([]*property{{used: 251 * time.Second}, a}), "without it the test with the least time")
	require.Same(t, simulated, next([]*property{simulated}))
}

func TestRunsGrowToTheTimeThatARunIsToTake(t *testing.T) {
	require.Equal(t, 2000, nextChecks(100, time.Second, 20*time.Second))
	require.Equal(t, 2000, nextChecks(100, time.Millisecond, 20*time.Second), "not more than 20 times at once")
	require.Equal(t, 50, nextChecks(100, 40*time.Second, 20*time.Second))
	require.Equal(t, 1, nextChecks(100, time.Second, -time.Second), "the time is over")
}

func TestSameSeedGivesTheSameSeeds(t *testing.T) {
	a, b, c := newSeeds(7), newSeeds(7), newSeeds(8)
	first := a.next()
	require.Equal(t, first, b.next())
	require.NotEqual(t, first, a.next())
	require.NotEqual(t, first, c.next())
}

func TestFailureNamesSeedCommandAndFile(t *testing.T) {
	p := &property{pkg: "example.org/some", dir: "/src/some", test: "TestX"}
	output := `--- FAIL: TestX (0.00s)
    x_test.go:18: [rapid] failed after 61 tests: bad
        To reproduce, specify -run="TestX" -rapid.failfile="testdata/rapid/TestX/TestX-1.fail" (or -rapid.seed=1892)`
	err := failure(p, 5, 100, output)
	require.ErrorContains(t, err, "a new case fails, seed 5")
	require.ErrorContains(t, err, "go test example.org/some -run '^TestX$' -args -rapid.seed=1892 -rapid.checks=1")
	require.ErrorContains(t, err, "kept: /src/some/testdata/rapid/TestX/TestX-1.fail")

	err = failure(p, 5, 100, `To reproduce, specify -run="TestX" -rapid.failfile="testdata/rapid/TestX/TestX-1.fail"`)
	require.ErrorContains(t, err, "a case that an earlier run kept still fails")
	require.ErrorContains(t, failure(p, 5, 100, "panic: no"), "-args -rapid.seed=5 -rapid.checks=100\n")
}

func TestCasesThatPassedAreCounted(t *testing.T) {
	require.Equal(t, 300, passedIn("x_test.go:1: [rapid] OK, passed 100 tests (1s)\nx_test.go:1: [rapid] OK, passed 300 tests (1s)\n"))
	require.Zero(t, passedIn("PASS"))
}
