package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// cluster answers the template function "lookup" for Secrets, and nothing else.
type cluster struct{ address string }

// Existing renders as into a cluster that has these Secrets, as an upgrade of a release finds them.
// The cleanup function of the test ends it.
func Existing(t interface {
	T
	Cleanup(func())
}, secrets ...*corev1.Secret) Option {
	t.Helper()
	answers := map[string]any{"/api/v1": metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"},
		GroupVersion: "v1",
		APIResources: []metav1.APIResource{{Name: "secrets", Kind: "Secret", Namespaced: true}},
	}}
	for _, secret := range secrets {
		secret.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}
		answers[fmt.Sprintf("/api/v1/namespaces/%s/secrets/%s", secret.Namespace, secret.Name)] = secret
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
	return func(s *settings) { s.cluster = &cluster{address: server.URL} }
}

var errNotOffered = errors.New("the test cluster offers a REST configuration only")

// ToRESTConfig points Helm to the cluster.
func (c *cluster) ToRESTConfig() (*rest.Config, error) { return &rest.Config{Host: c.address}, nil }

// ToDiscoveryClient is not offered: rendering does not use it.
func (c *cluster) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return nil, errNotOffered
}

// ToRESTMapper is not offered: rendering does not use it.
func (c *cluster) ToRESTMapper() (meta.RESTMapper, error) { return nil, errNotOffered }

// ToRawKubeConfigLoader is not offered: rendering does not use it.
func (c *cluster) ToRawKubeConfigLoader() clientcmd.ClientConfig { return nil }
