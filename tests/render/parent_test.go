package chart_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/kube/fake"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// parent renders a chart that contains this one, if the value of the condition says so.
func parent(t *testing.T, condition, values string) (string, error) {
	t.Helper()
	child, err := loader.Load(render.Path(t, ""))
	require.NoError(t, err)
	dependency := &chart.Dependency{Name: child.Name(), Version: child.Metadata.Version, Condition: condition}
	shop := &chart.Chart{Metadata: &chart.Metadata{APIVersion: chart.APIVersionV2, Name: "shop", Version: "1.0.0", Dependencies: []*chart.Dependency{dependency}}}
	shop.AddDependency(child)
	install := action.NewInstall(&action.Configuration{KubeClient: &fake.PrintingKubeClient{Out: io.Discard}, Log: func(string, ...any) {}})
	install.ClientOnly, install.DryRun, install.ReleaseName, install.Namespace = true, true, "shop", render.Namespace
	install.KubeVersion, err = chartutil.ParseKubeVersion("v" + render.KubeVersions[0] + ".0")
	require.NoError(t, err)
	release, err := install.Run(shop, render.YAML(t, values))
	if err != nil {
		return "", err
	}
	return release.Manifest, nil
}

// A parent chart adds the key "global" to the values of every chart it contains.
func TestChartCanBePartOfAnother(t *testing.T) {
	manifest, err := parent(t, "", "{global: {imageRegistry: example.com}, redis-ha: {auth: true}}")
	require.NoError(t, err)
	assert.Contains(t, manifest, "name: shop-redis-ha-server\n")
	assert.NotEmpty(t, render.Chart(t, render.YAML(t, "global: {imageRegistry: example.com}")).Objects)
}

// The usual condition of a dependency is a value of the chart that it is about.
func TestAParentChartSwitchesThisOneOff(t *testing.T) {
	on, err := parent(t, "redis-ha.enabled", "redis-ha: {enabled: true}")
	require.NoError(t, err)
	assert.Contains(t, on, "kind: Deployment")
	off, err := parent(t, "redis-ha.enabled", "redis-ha: {enabled: false}")
	require.NoError(t, err)
	assert.Empty(t, off)
	_, err = parent(t, "", "redis-ha: {enabled: false}")
	require.ErrorContains(t, err, "enabled: false is for the condition of a parent chart")
}
