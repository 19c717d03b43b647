package e2e

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
)

// The API server knows more than its types say: formats, ranges, references and admission. Nothing is created.
func TestAPIServerTakesTheManifestsOfEveryValuesFile(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(repositoryRoot, "charts", "redis-ha", "ci", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			objects := templates(t, file)
			require.NotEmpty(t, objects)
			for _, object := range objects {
				if strings.HasPrefix(object.GetAPIVersion(), "cert-manager.io/") {
					continue // only cert-manager knows the kind, and this cluster does not have it
				}
				err := tryToCreate(t, object)
				require.NoError(t, err, "%s %s", object.GetKind(), object.GetName())
			}
		})
	}
}

func TestAPIServerRefusesAFieldThatThereIsNot(t *testing.T) {
	objects := templates(t, filepath.Join(repositoryRoot, "charts", "redis-ha", "ci", "01-default-values.yaml"))
	require.NotEmpty(t, objects)
	for _, object := range objects {
		require.NoError(t, unstructured.SetNestedField(object.Object, "x", "metadata", "lables"))
		require.ErrorContains(t, tryToCreate(t, object), `unknown field "metadata.lables"`, object.GetKind())
	}
}

// templates are the objects that `helm template` prints for a values file.
func templates(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	text, err := output(t.Context(), "helm", "template", "validated", filepath.Join(repositoryRoot, "charts", "redis-ha"),
		"--namespace", workNamespace, "--values", file)
	require.NoError(t, err)
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		require.NoError(t, err)
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// tryToCreate has the API server check an object without keeping it. The chart names the namespace of each object that has one.
func tryToCreate(t *testing.T, object *unstructured.Unstructured) error {
	t.Helper()
	client, err := dynamic.NewForConfig(env.Rest)
	require.NoError(t, err)
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	_, err = client.Resource(resource).Namespace(object.GetNamespace()).Create(t.Context(), object,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	return err
}
