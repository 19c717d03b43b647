package kube

import (
	"fmt"
	"net/http"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
)

// Typed clients of the four kinds the launcher uses. The generated ones of
// client-go share a scheme with every kind of Kubernetes: several MiB of tables
// and of code, in each pod.
type (
	podClient   = gentype.ClientWithList[*corev1.Pod, *corev1.PodList]
	eventClient = gentype.Client[*corev1.Event]
	leaseClient = gentype.Client[*coordinationv1.Lease]
)

// kinds knows how the launcher's kinds, and the API's answers to any call, are encoded.
var kinds = newKinds()

func newKinds() *runtime.Scheme {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Pod{}, &corev1.PodList{}, &corev1.Event{})
	scheme.AddKnownTypes(coordinationv1.SchemeGroupVersion, &coordinationv1.Lease{})
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	metav1.AddToGroupVersion(scheme, coordinationv1.SchemeGroupVersion)
	return scheme
}

func newPodClient(c rest.Interface, namespace string) *podClient {
	return gentype.NewClientWithList("pods", c, runtime.NewParameterCodec(kinds), namespace,
		func() *corev1.Pod { return &corev1.Pod{} }, func() *corev1.PodList { return &corev1.PodList{} })
}

func newEventClient(c rest.Interface, namespace string) *eventClient {
	return gentype.NewClient("events", c, runtime.NewParameterCodec(kinds), namespace, func() *corev1.Event { return &corev1.Event{} })
}

func newLeaseClient(c rest.Interface, namespace string) *leaseClient {
	return gentype.NewClient("leases", c, runtime.NewParameterCodec(kinds), namespace,
		func() *coordinationv1.Lease { return &coordinationv1.Lease{} })
}

// restClient prepares calls of one API group below path ("/api" or "/apis"). All
// groups share the connections of one client.
func restClient(config *rest.Config, connections *http.Client, path string, version schema.GroupVersion) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = path, &version
	config.NegotiatedSerializer = serializer.NewCodecFactory(kinds).WithoutConversion()
	client, err := rest.RESTClientForConfigAndClient(config, connections)
	if err != nil {
		return nil, fmt.Errorf("prepare the client of the API %s: %w", version, err)
	}
	return client, nil
}
