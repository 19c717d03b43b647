package policy

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// PortsNameTheirProtocol leaves service meshes nothing to guess.
var PortsNameTheirProtocol = Rule{
	ID:        "ports-name-their-protocol",
	Title:     "Every port of a Service has a name and says that it carries plain TCP",
	Why:       "A service mesh that guesses waits for the client to speak first, or takes Redis for HTTP: connections hang or break.",
	Fix:       "Set name, protocol: TCP and appProtocol: tcp.",
	Reference: "https://kubernetes.io/docs/concepts/services-networking/service/#application-protocol",
	Check: func(r *Release) (result Result) {
		for _, service := range render.All[*corev1.Service](r.Manifests) {
			id := "Service/" + service.Name
			for _, port := range service.Spec.Ports {
				path := "spec.ports[" + port.Name + "]"
				result.check(port.Name != "", id, path+".name", "is not set")
				result.check(port.Protocol == corev1.ProtocolTCP, id, path+".protocol", "is not TCP")
				result.check(port.AppProtocol != nil && *port.AppProtocol == "tcp", id, path+".appProtocol", "is not tcp")
			}
			result.check(len(service.Spec.Ports) > 0, id, "spec.ports", "is empty")
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no name", Change: func(r *Release) { r.service("").Spec.Ports[0].Name = "" }},
		{Name: "UDP", Change: func(r *Release) { r.service("").Spec.Ports[0].Protocol = corev1.ProtocolUDP }},
		{Name: "a guess", Change: func(r *Release) { r.service("-sentinel").Spec.Ports[0].AppProtocol = nil }},
		{Name: "no port", Change: func(r *Release) { r.service("-slave-svc").Spec.Ports = nil }},
	},
}
