// Package render renders the chart through the Helm SDK and hands out its objects as Kubernetes types.
//
// A test is values, an object and a claim:
//
//	m := render.Chart(t, render.Values{"auth": true})
//	secret := render.One[*corev1.Secret](t, m, "redis-ha-redis-ha")
//	assert.Contains(t, secret.Data, "auth")
//
// Everything is decoded strictly: an unknown field, a wrong type or a key twice fails the test.
package render

import (
	"fmt"
	"io"
	"log"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"
)

// Release and Namespace are those of the documented installation; Fullname is the prefix of its object names.
const (
	Release   = "redis-ha"
	Namespace = "kube-public"
	Fullname  = "redis-ha-redis-ha"
)

// KubeVersions are the Kubernetes minors the chart is rendered for: from the chart's kubeVersion to the version of the
// API types that this module is built with.
var KubeVersions = []string{"1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"}

// T is what the package needs of *testing.T and of *rapid.T.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Values are the values of a release, with types as a values file has them.
type Values map[string]any

// YAML reads values from the text of a values file.
func YAML(t T, text string) Values {
	t.Helper()
	values := Values{}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatalf("read values: %v\n%s", err, text)
	}
	return values
}

// settings are what options change.
type settings struct {
	release, namespace, kubeVersion string
	version, appVersion             string
	dir                             string
	engine                          engine.Engine
	upgrade                         bool // of a release that is installed; otherwise an installation
	served                          []string
}

// Option changes how the chart is rendered.
type Option func(*settings)

// As renders for another release and namespace.
func As(release, namespace string) Option {
	return func(s *settings) { s.release, s.namespace = release, namespace }
}

// KubeVersion renders for another Kubernetes version, such as "1.29".
func KubeVersion(version string) Option { return func(s *settings) { s.kubeVersion = version } }

// Version renders as if the chart had another version, and its image.
func Version(version, appVersion string) Option {
	return func(s *settings) { s.version, s.appVersion = version, appVersion }
}

// Upgrade renders as an upgrade does.
func Upgrade() Option { return func(s *settings) { s.upgrade = true } }

// Serves renders for a cluster that serves these kinds, such as "apps/v1/Deployment", as well.
func Serves(kinds ...string) Option { return func(s *settings) { s.served = kinds } }

// Dir renders the chart of another directory.
func Dir(dir string) Option { return func(s *settings) { s.dir = dir } }

// Chart renders the chart. Values that are refused fail the test.
func Chart(t T, values Values, options ...Option) *Manifests {
	t.Helper()
	m, err := Try(values, options...)
	if err != nil {
		t.Fatalf("render the chart: %v\nvalues: %v", err, values)
	}
	return m
}

// Refused renders the chart with values that must be refused, and returns the text the user gets.
func Refused(t T, values Values, options ...Option) string {
	t.Helper()
	_, err := Try(values, options...)
	if err == nil {
		t.Fatalf("the chart accepts values that it must refuse: %v", values)
		return ""
	}
	return err.Error()
}

// Try renders the chart as an installation does that is not carried out, with kubeVersion and the values schema checked.
// It uses Helm's engine and not its installation, which reads every manifest once more to put them in order: that takes
// a quarter of the time. A test compares the two.
func Try(values Values, options ...Option) (*Manifests, error) {
	s := settings{release: Release, namespace: Namespace, kubeVersion: KubeVersions[len(KubeVersions)-1]}
	for _, option := range options {
		option(&s)
	}
	loaded, checked, err := s.load(values)
	if err != nil {
		return nil, err
	}
	if err := chartutil.ValidateReleaseName(s.release); err != nil {
		return nil, fmt.Errorf("release name %q: %w", s.release, err)
	}
	if err := chartutil.ProcessDependenciesWithMerge(loaded, chartutil.Values(values)); err != nil {
		return nil, err
	}
	// Helm as a library assumes Kubernetes 1.20.
	version, err := chartutil.ParseKubeVersion("v" + s.kubeVersion + ".0")
	if err != nil {
		return nil, fmt.Errorf("parse Kubernetes version %q: %w", s.kubeVersion, err)
	}
	if wanted := loaded.Metadata.KubeVersion; wanted != "" && !chartutil.IsCompatibleRange(wanted, version.String()) {
		return nil, fmt.Errorf("chart requires kubeVersion: %s which is incompatible with Kubernetes %s", wanted, version)
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	capabilities.APIVersions = append(capabilities.APIVersions, s.served...)
	release := chartutil.ReleaseOptions{Name: s.release, Namespace: s.namespace, Revision: 1, IsInstall: !s.upgrade, IsUpgrade: s.upgrade}
	input, err := chartutil.ToRenderValuesWithSchemaValidation(loaded, values, release, capabilities, checked)
	if err != nil {
		return nil, err
	}
	files, err := s.engine.Render(loaded, input)
	if err != nil {
		return nil, err
	}
	return decodeFiles(loaded, input, files)
}

// load reads the chart, and says whether its schema has accepted the values.
func (s *settings) load(values Values) (loaded *chart.Chart, checked bool, err error) {
	if s.dir == "" {
		if s.dir, err = ChartDir(); err != nil {
			return nil, false, err
		}
	}
	source, err := readChart(s.dir)
	if err != nil {
		return nil, false, err
	}
	// Helm changes the chart it renders, so every rendering gets its own.
	if loaded, err = loader.LoadFiles(source.files); err != nil {
		return nil, false, fmt.Errorf("load the chart: %w", err)
	}
	if s.version != "" {
		loaded.Metadata.Version, loaded.Metadata.AppVersion = s.version, s.appVersion
	}
	checked, err = source.check(loaded, values)
	return loaded, checked, err
}

// silence keeps Helm's own log lines about values out of the test output.
var _ = func() bool { log.SetOutput(io.Discard); return true }()
