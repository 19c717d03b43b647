package policy

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// PortsExist follows names of ports to the containers.
var PortsExist = Rule{
	ID:        "ports-exist",
	Title:     "Every port of a Service and of a probe is a port of the container behind it, of the same number",
	Why:       "A Service with a target port that nobody has drops every connection, and a pod whose probe asks a wrong port is killed again and again.",
	Fix:       "Name the container's port in targetPort, and let the Service keep its number.",
	Reference: "https://kubernetes.io/docs/concepts/services-networking/service/#field-spec-ports",
	Check: func(r *Release) (result Result) {
		for _, service := range render.All[*corev1.Service](r.Manifests) {
			selector := labels.SelectorFromSet(service.Spec.Selector)
			for _, p := range r.Peers() {
				for _, set := range p.Roles() {
					if !selector.Matches(set) {
						continue
					}
					for _, port := range service.Spec.Ports {
						result.check(p.Containers()[0].port(port.TargetPort.String()) == port.Port,
							"Service/"+service.Name, "spec.ports["+port.Name+"].targetPort", "%s is not the port %d of %s", port.TargetPort.String(), port.Port, p.Owner)
					}
				}
			}
		}
		for _, c := range r.Containers() {
			for name, probe := range probesOf(c) {
				var port *intstr.IntOrString
				switch {
				case probe.HTTPGet != nil:
					port = &probe.HTTPGet.Port
				case probe.TCPSocket != nil:
					port = &probe.TCPSocket.Port
				default:
					continue
				}
				result.check(c.port(port.String()) != 0, c.Pod.Owner, c.Path+"."+name, "asks the port %s, which the container does not have", port.String())
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a target that is not there", Change: func(r *Release) {
			r.service("-master-svc").Spec.Ports[0].TargetPort = intstr.FromString("redis-tls")
		}},
		{Name: "the launcher's port", Change: func(r *Release) { r.service("").Spec.Ports[0].TargetPort = intstr.FromString("launcher") }},
		{Name: "a container without ports", Change: func(r *Release) { r.sentinel().Spec.Template.Spec.Containers[0].Ports = nil }},
		{Name: "a probe", Change: func(r *Release) { r.redis().ReadinessProbe.HTTPGet.Port = intstr.FromInt32(8081) }},
		{Name: "a probe of TCP", Change: func(r *Release) {
			r.redis().LivenessProbe.ProbeHandler = corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("http")}}
		}},
	},
}

// probesOf are the probes of a container by their field.
func probesOf(c Container) map[string]*corev1.Probe {
	probes := map[string]*corev1.Probe{}
	for name, probe := range map[string]*corev1.Probe{"startupProbe": c.StartupProbe, "livenessProbe": c.LivenessProbe, "readinessProbe": c.ReadinessProbe} {
		if probe != nil {
			probes[name] = probe
		}
	}
	return probes
}
