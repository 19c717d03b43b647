package render

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// Certificate is what the chart sets of a Certificate of cert-manager, cert-manager.io/v1. Other fields are refused.
type Certificate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec CertificateSpec `json:"spec"`
}

// CertificateSpec is the certificate that is wanted.
type CertificateSpec struct {
	SecretName string `json:"secretName"`
	IssuerRef  struct {
		Name  string `json:"name"`
		Kind  string `json:"kind"`
		Group string `json:"group"`
	} `json:"issuerRef"`
	Duration    metav1.Duration `json:"duration"`
	RenewBefore metav1.Duration `json:"renewBefore"`
	PrivateKey  struct {
		Algorithm      string `json:"algorithm"`
		Size           int    `json:"size"`
		RotationPolicy string `json:"rotationPolicy"`
	} `json:"privateKey"`
	Usages      []string `json:"usages"`
	DNSNames    []string `json:"dnsNames"`
	IPAddresses []string `json:"ipAddresses"`
}

// DeepCopyObject gives a copy.
func (c *Certificate) DeepCopyObject() runtime.Object {
	copied := *c
	copied.ObjectMeta = *c.ObjectMeta.DeepCopy()
	for _, list := range []*[]string{&copied.Spec.Usages, &copied.Spec.DNSNames, &copied.Spec.IPAddresses} {
		*list = append([]string(nil), *list...)
	}
	return &copied
}

// kinds are all kinds of objects that the chart renders: those of Kubernetes, and Certificates.
var kinds = func() *runtime.Scheme {
	kinds := runtime.NewScheme()
	if err := scheme.AddToScheme(kinds); err != nil {
		panic(err)
	}
	kinds.AddKnownTypes(schema.GroupVersion{Group: "cert-manager.io", Version: "v1"}, &Certificate{})
	return kinds
}()
