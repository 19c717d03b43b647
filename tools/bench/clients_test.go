package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

func TestClientsHaveALineForEachFault(t *testing.T) {
	r := results{Clients: map[string]map[string][]clientRun{
		"ioredis": {
			"delete": {
				{At: began, Version: "6.0.0", GapMS: 100, Acknowledged: 1000, Lost: 1, Errors: map[string]int{"closed": 1}},
				{At: began, Version: "6.0.0", GapMS: 900, Acknowledged: 500, Errors: map[string]int{"closed": 1, "a|b": 1}},
			},
			"kill-redis": {{At: began, Version: "6.0.0", GapMS: 50, Acknowledged: 10}},
		},
	}}
	text := r.markdown()
	assert.Contains(t, text, "| ioredis 6.0.0 | master pod deleted | 2 | 0.10 s | 0.90 s | 1 of 1500 | 3: 1 × `a/b`, 2 × `closed` | 2030-01-01 |")
	assert.Contains(t, text, "| ioredis 6.0.0 | `kill -9` of redis-server on the master | 1 | 0.05 s | 0.05 s | 0 of 10 | 0 | 2030-01-01 |")
	assert.NotContains(t, text, "| go-redis", "what was not measured")
}

func TestReportOfAWriterBecomesTheRunOfAClient(t *testing.T) {
	found := clientRunOf(began, "1.2.3", writer.Report{Acknowledged: 9, Lost: 2, LongestGapMilliseconds: 70, FailureKinds: map[string]int{"EOF": 3}})
	assert.Equal(t, clientRun{At: began, Version: "1.2.3", GapMS: 70, Acknowledged: 9, Lost: 2, Errors: map[string]int{"EOF": 3}}, found)
}

func TestRunsOfOtherClientsStayWhenOneIsMeasuredAgain(t *testing.T) {
	r := results{}
	r.keepClients("delete", map[string][]clientRun{"ioredis": {{GapMS: 1}}, "node-redis": {{GapMS: 2}}})
	r.keepClients("kill-redis", map[string][]clientRun{"ioredis": {{GapMS: 3}}})
	r.keepClients("delete", map[string][]clientRun{"ioredis": {{GapMS: 4}}})
	assert.Equal(t, map[string]map[string][]clientRun{
		"ioredis":    {"delete": {{GapMS: 4}}, "kill-redis": {{GapMS: 3}}},
		"node-redis": {"delete": {{GapMS: 2}}},
	}, r.Clients)
}

func TestEveryClientHasAVersion(t *testing.T) {
	versions, err := clientVersions()
	require.NoError(t, err)
	for _, name := range clientNames() {
		assert.Regexp(t, `^\d+\.\d+\.\d+$`, versions[name], name)
	}
}

func TestClientsThatCannotRunAreRefused(t *testing.T) {
	assert.ErrorContains(t, options{clients: []string{"jedis"}}.checkClients(), `unknown client "jedis": choose from go-redis, ioredis, node-redis`)
	t.Setenv("PATH", t.TempDir())
	assert.NoError(t, options{clients: []string{"go-redis"}}.checkClients())
	err := options{clients: []string{"go-redis", "ioredis"}}.checkClients()
	assert.ErrorContains(t, err, "the client ioredis cannot run (--clients go-redis leaves it out): node is not on this machine")
}

func TestManyClientsAreSummedUp(t *testing.T) {
	var reports []writer.Report
	for _, gap := range []int64{300, 100, 200, 900} {
		reports = append(reports, writer.Report{Acknowledged: 1000, Lost: int(gap / 900), LongestGapMilliseconds: gap})
	}
	one := heavyRunOf(began, reports)
	assert.Equal(t, heavyRun{At: began, MedianGapMS: 200, SlowestGapMS: 900, Acknowledged: 4000, Lost: 1}, one)
	text := results{Heavy: map[string][]heavyRun{"delete": {one, {At: began, MedianGapMS: 400, SlowestGapMS: 500, Acknowledged: 6000, Lost: 2}}}}.markdown()
	assert.Contains(t, text, "| master pod deleted | 2 | 0.20 s | 0.40 s | 0.50 s | 0.90 s | 3 of 10000 | 2030-01-01 |")
	assert.NotContains(t, text, "| `kill -9`", "what was not measured")
}

func TestEachCommandHasItsOwnNumberOfRuns(t *testing.T) {
	var o options
	runs := 0
	do := func(_ context.Context, o options) error { runs = o.runs; return nil }
	first, second := measurement(&o, "first", "", 20, do), measurement(&o, "second", "", 3, do)
	for _, c := range []struct {
		args []string
		want int
	}{{[]string{}, 20}, {[]string{"--runs", "7"}, 7}} {
		first.SetArgs(c.args)
		require.NoError(t, first.Execute())
		assert.Equal(t, c.want, runs)
	}
	second.SetArgs([]string{})
	require.NoError(t, second.Execute())
	assert.Equal(t, 3, runs)
}
