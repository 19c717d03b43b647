package render

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/kube/fake"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
)

// failure records how a helper fails a test.
type failure struct{ text string }

func (f *failure) Helper() {}
func (f *failure) Fatalf(format string, args ...any) {
	if f.text == "" {
		f.text = fmt.Sprintf(format, args...)
	}
}

func TestDecodeRefusesWhatOtherDecodersOverlook(t *testing.T) {
	pod := func(lines ...string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec:\n  " + strings.Join(lines, "\n  ") + "\n"
	}
	_, err := decode(pod("restartPolicy: Never"))
	require.NoError(t, err)
	for name, document := range map[string]string{
		"unknown field":      pod("restartPolice: Never"),
		"wrong letter case":  pod("restartpolicy: Never"),
		"wrong type":         pod("hostNetwork: yes please"),
		"the same key twice": pod("restartPolicy: Never", "restartPolicy: Always"),
		"unknown kind":       "apiVersion: v1\nkind: Pods\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(document)
			assert.Error(t, err)
		})
	}
}

func TestOneNamesWhatIsThere(t *testing.T) {
	f := &failure{}
	One[*corev1.Service](f, Chart(t, nil), "no-such-service")
	assert.Contains(t, f.text, `no Service "no-such-service"`)
	assert.Contains(t, f.text, "Service/"+Fullname+"-master-svc")
}

func TestNoneCountsWhatIsThere(t *testing.T) {
	f := &failure{}
	None[*corev1.Service](f, Chart(t, nil))
	assert.Contains(t, f.text, "4 objects of kind Service")
	None[*corev1.Secret](t, Chart(t, nil))
}

func TestRefusedFailsForGoodValues(t *testing.T) {
	f := &failure{}
	Refused(f, Values{"auth": true})
	assert.Contains(t, f.text, "accepts values that it must refuse")
}

func TestChartFailsForBadValues(t *testing.T) {
	f := &failure{}
	Chart(f, Values{"auth": "perhaps"})
	assert.Contains(t, f.text, "render the chart")
}

// installed is what Helm's own installation would give to the cluster.
func installed(t *testing.T, values Values) *release.Release {
	t.Helper()
	s := settings{}
	loaded, _, err := s.load(values)
	require.NoError(t, err)
	install := action.NewInstall(&action.Configuration{KubeClient: &fake.PrintingKubeClient{Out: io.Discard}, Log: func(string, ...any) {}})
	install.ClientOnly, install.DryRun = true, true
	install.ReleaseName, install.Namespace = Release, Namespace
	install.KubeVersion, err = chartutil.ParseKubeVersion("v" + KubeVersions[len(KubeVersions)-1] + ".0")
	require.NoError(t, err)
	found, err := install.Run(loaded, values)
	require.NoError(t, err)
	return found
}

func TestRenderingsAreWhatHelmInstalls(t *testing.T) {
	for _, c := range Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			release, m := installed(t, c.Values), Chart(t, c.Values)
			want := map[string]bool{} // whether it is a hook
			for document := range strings.SplitSeq("\n"+release.Manifest, "\n---\n") {
				if text := bare(document); text != "" {
					want[text] = false
				}
			}
			for _, hook := range release.Hooks {
				want[bare(hook.Manifest)] = true
			}
			assert.Len(t, m.Objects, len(want))
			for _, o := range m.Objects {
				hook, ok := want[bare(o.YAML)]
				assert.True(t, ok, "%s is not what Helm installs:\n%s", o.ID(), o.YAML)
				assert.Equal(t, hook, o.Hook, "%s is a hook", o.ID())
			}
			assert.Equal(t, release.Info.Notes, m.Notes)
			values, err := chartutil.CoalesceValues(release.Chart, release.Config)
			require.NoError(t, err)
			assert.Equal(t, Values(values), m.Values)
		})
	}
}

// password is one that the template has drawn, or another of the random data of a Secret.
var password = regexp.MustCompile(`(?m)^  (auth|(ca|tls)\.(crt|key)|renewed-after): .*$`)

// bare leaves out of a document the line in which Helm tells the template, and the password.
func bare(document string) string {
	text := strings.TrimSpace(document)
	if first, rest, _ := strings.Cut(text, "\n"); strings.HasPrefix(first, "# Source: ") {
		text = strings.TrimSpace(rest)
	}
	return password.ReplaceAllString(text, "  drawn")
}
