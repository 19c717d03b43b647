package render

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// Existing renders an upgrade in a cluster that has these Secrets, ConfigMaps, Pods, Deployments and StatefulSets: the template function "lookup" finds
// them, and nothing else.
// The cleanup function of the test ends it.
func Existing(t interface {
	T
	Cleanup(func())
}, objects ...metav1.Object) Option {
	t.Helper()
	answers := map[string]any{
		"/api/v1": resources("v1", metav1.APIResource{Name: "secrets", Kind: "Secret", Namespaced: true},
			metav1.APIResource{Name: "configmaps", Kind: "ConfigMap", Namespaced: true}, metav1.APIResource{Name: "pods", Kind: "Pod", Namespaced: true}),
		"/apis/apps/v1": resources("apps/v1", metav1.APIResource{Name: "deployments", Kind: "Deployment", Namespaced: true},
			metav1.APIResource{Name: "statefulsets", Kind: "StatefulSet", Namespaced: true}),
	}
	for _, o := range objects {
		switch object := o.(type) {
		case *corev1.Secret:
			object.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}
			answers[fmt.Sprintf("/api/v1/namespaces/%s/secrets/%s", object.Namespace, object.Name)] = object
		case *corev1.ConfigMap:
			object.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}
			answers[fmt.Sprintf("/api/v1/namespaces/%s/configmaps/%s", object.Namespace, object.Name)] = object
		case *corev1.Pod: // found in the list of its namespace
			path := fmt.Sprintf("/api/v1/namespaces/%s/pods", object.Namespace)
			list, _ := answers[path].(corev1.PodList)
			list.TypeMeta, list.Items = metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, append(list.Items, *object)
			answers[path] = list
		case *appsv1.Deployment:
			object.TypeMeta = metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}
			answers[fmt.Sprintf("/apis/apps/v1/namespaces/%s/deployments/%s", object.Namespace, object.Name)] = object
		case *appsv1.StatefulSet:
			object.TypeMeta = metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"}
			answers[fmt.Sprintf("/apis/apps/v1/namespaces/%s/statefulsets/%s", object.Namespace, object.Name)] = object
		default:
			t.Fatalf("a cluster of a test has Secrets, ConfigMaps, Pods, Deployments and StatefulSets, and no %T", o)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = metav1.Status{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
				Status:   metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound,
			}
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			panic(fmt.Sprintf("encode the answer to %s: %v", r.URL.Path, err))
		}
	}))
	t.Cleanup(server.Close)
	return func(s *settings) { s.engine, s.upgrade = engine.New(&rest.Config{Host: server.URL}), true }
}

// resources lists kinds of objects that an API group has.
func resources(version string, kinds ...metav1.APIResource) metav1.APIResourceList {
	return metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: version, APIResources: kinds,
	}
}
