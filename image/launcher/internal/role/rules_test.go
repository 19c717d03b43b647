package role

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ruleText is what the documents say of a rule.
type ruleText struct {
	ID, When, Then, Why string
	Label               Label
	See                 string
	last, applies       bool
}

// ruleList is a list of rules and the heading in docs/launcher.md that its table is under.
type ruleList struct {
	name, heading string
	rules         []ruleText
}

// ruleLists are all lists of rules, in the order of their tables.
var ruleLists = []ruleList{
	{"master-in-view", "How a server finds its role", texts(masterInViewRules)},
	{"nobody-is-master", "Nobody is master", texts(nobodyIsMasterRules)},
	{"lost-master", "The master is lost and no replica lives", texts(lostMasterRules)},
	{"podless", "The API does not answer", texts(podlessRules)},
	{"election", "The election", texts(electionRules)},
	{"external", "An external master", texts(externalRules)},
	{"replacing", "A backup replaces the data", texts(replacingRules)},
	{"unclear", "What a server does while it serves", texts(unclearRules)},
	{"master", "As master", texts(masterRules)},
	{"contested", "A master while the sentinels name another pod", texts(contestedRules)},
	{"replica", "As replica", texts(replicaRules)},
	{"leaving", "When a pod may leave", texts(leavingRules)},
	{"left", "When a pod may leave", texts(leftRules)},
	{"leaving-after-death", "When a pod may leave", texts(leavingAfterDeathRules)},
	{"sentinel-start", "Sentinels", texts(sentinelStartRules)},
	{"sentinel", "Sentinels", texts(sentinelRules)},
	{"mislabelled", "", texts(mislabelRules)},
}

// ofServers are the lists of servers, but for those of a master, which have tables of their own in docs/labels.md.
var ofServers = []string{"master-in-view", "nobody-is-master", "lost-master", "podless", "election", "external", "unclear", "replica", "left"}

func listNamed(name string) ruleList {
	return ruleLists[slices.IndexFunc(ruleLists, func(l ruleList) bool { return l.name == name })]
}

func texts[S, D any](rules []rule[S, D]) []ruleText {
	var all []ruleText
	for i, r := range rules {
		all = append(all, ruleText{r.ID, r.When, r.Then, r.Why, r.Label, r.See, i == len(rules)-1, r.applies != nil})
	}
	return all
}

// unruled is a decision without the ID of its rule, which the tables of the tests do not name.
func unruled(d Decision) Decision {
	d.Rule = ""
	return d
}

// hits counts how often each rule has decided.
var hits = struct {
	sync.Mutex
	of map[string]int
}{of: map[string]int{}}

// count makes the rules of a list count their decisions.
func count[S, D any](rules []rule[S, D]) {
	for i := range rules {
		id, decide := rules[i].ID, rules[i].decide
		rules[i].decide = func(s S) D {
			hits.Lock()
			hits.of[id]++
			hits.Unlock()
			return decide(s)
		}
	}
}

// TestMain checks after all tests of this package that each rule has decided at least once in them.
func TestMain(m *testing.M) {
	count(masterInViewRules)
	count(nobodyIsMasterRules)
	count(lostMasterRules)
	count(podlessRules)
	count(electionRules)
	count(externalRules)
	count(replacingRules)
	count(unclearRules)
	count(masterRules)
	count(contestedRules)
	count(replicaRules)
	count(leavingRules)
	count(leftRules)
	count(leavingAfterDeathRules)
	count(sentinelStartRules)
	count(sentinelRules)
	count(mislabelRules)
	code := m.Run()
	all := true
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		all = all && flag.Lookup(name).Value.String() == ""
	}
	if all {
		for _, list := range ruleLists {
			for _, r := range list.rules {
				if hits.of[r.ID] == 0 {
					fmt.Printf("the rule %s decides in no test: add a case\n", r.ID)
					code = 1
				}
			}
		}
	}
	os.Exit(code)
}

var ruleID = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

func TestEveryRuleIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, list := range ruleLists {
		for _, r := range list.rules {
			require.Regexp(t, ruleID, r.ID)
			require.False(t, seen[r.ID], "two rules are called %s", r.ID)
			seen[r.ID] = true
			require.NotEmpty(t, r.When, r.ID)
			require.NotEmpty(t, r.Then, r.ID)
			require.Regexp(t, `^[A-Z].*\.$`, r.Why, "the reason of %s is no sentence", r.ID)
			require.Equal(t, r.last, !r.applies, "%s: the last rule of a list, and no other, applies to everything else", r.ID)
			require.NotContains(t, r.When+r.Then+r.Why, "|", r.ID)
		}
	}
}

// A rule that leaves the decision to another list says so in the documents, and no other does.
func TestDecisionNamesItsRules(t *testing.T) {
	byID := map[string]ruleText{}
	for _, list := range ruleLists {
		for _, r := range list.rules {
			byID[r.ID] = r
		}
	}
	always(t, func(t *rapid.T) bool {
		_, d := decided(t)
		ids := strings.Split(d.Rule, "/")
		for i, id := range ids {
			r, known := byID[id]
			if !known {
				t.Fatalf("there is no rule %q", id)
			}
			if last := i == len(ids)-1; last != (r.See == "") {
				t.Fatalf("%s is at the wrong place in %s", id, d.Rule)
			}
		}
		return true
	})
}

var update = flag.Bool("update", false, "write the tables of rules in docs anew")

func TestGoldenRuleTables(t *testing.T) {
	docs := filepath.Join("..", "..", "..", "..", "docs")
	launcher, labels := map[string]string{}, map[string]string{}
	for _, list := range ruleLists {
		launcher[list.name] = ruleTable(t, docs, list)
	}
	labels["mislabelled"] = launcher["mislabelled"]
	delete(launcher, "mislabelled")
	labels["label-of-a-master"] = labelTable(listNamed("master"))
	labels["label-of-a-contested-master"] = labelTable(listNamed("contested"))
	labels["labels-by-rule"] = labelsByRule()
	fillIn(t, filepath.Join(docs, "launcher.md"), launcher)
	fillIn(t, filepath.Join(docs, "labels.md"), labels)
}

var region = regexp.MustCompile("(?s)(<!-- rules: begin ([a-z-]+) \\(written by `make golden`\\) -->\n)(.*?)(<!-- rules: end ([a-z-]+) -->\n)")

// fillIn compares the tables between the markers of a document with those that follow from the rules, or writes them.
func fillIn(t *testing.T, file string, tables map[string]string) {
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	found := map[string]bool{}
	text := region.ReplaceAllStringFunc(string(content), func(old string) string {
		m := region.FindStringSubmatch(old)
		require.Equal(t, m[2], m[5], "the markers in %s do not fit", file)
		found[m[2]] = true
		if !*update {
			require.Equal(t, tables[m[2]], m[3], "the table %s in %s is stale: write it with make golden", m[2], file)
		}
		return m[1] + tables[m[2]] + m[4]
	})
	for name := range tables {
		require.True(t, found[name], "%s has no markers for the table %s", file, name)
	}
	require.Len(t, found, len(tables), "%s has markers for tables that there are not", file)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
}

func ruleTable(t *testing.T, docs string, list ruleList) string {
	var table strings.Builder
	table.WriteString("| rule | when | then | why |\n| --- | --- | --- | --- |\n")
	for _, r := range list.rules {
		then := r.Then
		if r.See != "" {
			then += ": see " + link("", r.See)
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", r.ID, r.When, then, withLinks(t, docs, r.Why))
	}
	return table.String()
}

func labelTable(list ruleList) string {
	var table strings.Builder
	table.WriteString("| rule | when | the label |\n| --- | --- | --- |\n")
	for _, r := range list.rules {
		what := map[Label]string{MasterLabel: "**is set**", HoldLabel: "stays as it is", ClearLabel: "is taken away"}[r.Label]
		if r.See != "" {
			what = "see " + link("launcher.md", r.See)
			if r.See == listNamed("contested").heading {
				what = "see the next table"
			}
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", r.ID, r.When, what)
	}
	return table.String()
}

// labelsByRule gives the rules of servers that are not master, by what they do with the label.
func labelsByRule() string {
	var table strings.Builder
	table.WriteString("| rules | the label is set | stays as it is | is taken away |\n| --- | --- | --- | --- |\n")
	for _, name := range ofServers {
		list := listNamed(name)
		by := map[Label][]string{}
		for _, r := range list.rules {
			// A replica stays one, whatever another list decides.
			if r.See == "" || r.Label == SlaveLabel {
				by[r.Label] = append(by[r.Label], "`"+r.ID+"`")
			}
		}
		cells := []string{link("launcher.md", list.heading)}
		for _, label := range [][]Label{{MasterLabel, SlaveLabel}, {HoldLabel}, {ClearLabel}} {
			var ids []string
			for _, l := range label {
				ids = append(ids, by[l]...)
			}
			cell := strings.Join(ids, ", ")
			if len(by) == 1 && cell != "" {
				cell = "all"
			}
			cells = append(cells, cell)
		}
		table.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return table.String()
}

// link is a link to a heading of a document.
func link(document, heading string) string {
	return fmt.Sprintf("[%s](%s#%s)", heading, document, strings.ReplaceAll(strings.ToLower(heading), " ", "-"))
}

var decisionRecord = regexp.MustCompile(`ADR (\d{4})`)

// withLinks makes links of the numbers of decision records.
func withLinks(t *testing.T, docs, text string) string {
	return decisionRecord.ReplaceAllStringFunc(text, func(name string) string {
		files, err := filepath.Glob(filepath.Join(docs, "adr", strings.TrimPrefix(name, "ADR ")+"-*.md"))
		require.NoError(t, err)
		require.Len(t, files, 1, "there is no %s", name)
		return fmt.Sprintf("[%s](adr/%s)", name, filepath.Base(files[0]))
	})
}
