package policy

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// place is an end of a link.
type place struct {
	name      string
	labels    labels.Set
	namespace string // empty outside the cluster
	address   netip.Addr
}

// link is a connection that somebody may open.
type link struct {
	from, to place
	protocol corev1.Protocol
	port     int32
	needed   bool
}

func (l link) String() string {
	return fmt.Sprintf("%s to %s at %s port %d", l.from.name, l.to.name, l.protocol, l.port)
}

// links are those that must pass, and samples of those that must not. The user decides who passes where the values name clients or scrapers.
func (r *Release) links() []link {
	in := func(namespace, address string) place {
		return place{"a pod of the namespace " + namespace, labels.Set{"app": "cart"}, namespace, netip.MustParseAddr(address)}
	}
	strangers := []place{in(r.Namespace, "10.244.9.9"), in("elsewhere", "10.244.8.8"), {name: "an address outside", address: netip.MustParseAddr("203.0.113.9")}}
	clients, _ := r.value("networkPolicy", "clients").([]any)
	scrapers, _ := r.value("networkPolicy", "scrapers").([]any)
	at := func(p Pod) place {
		return place{p.Owner, p.Meta.Labels, r.Namespace, netip.MustParseAddr("10.244.1.1")}
	}
	var links []link
	for _, to := range r.Peers() {
		for _, port := range to.Containers()[0].Ports {
			forClients := port.Name != "launcher"
			for _, from := range r.Pods() {
				needed := from.Peer || forClients && (!from.Backup || port.Name == "redis")
				links = append(links, link{at(from), at(to), corev1.ProtocolTCP, port.ContainerPort, needed})
			}
			for _, from := range strangers {
				named := scrapers
				if forClients {
					named = clients
				}
				if len(named) == 0 {
					links = append(links, link{from, at(to), corev1.ProtocolTCP, port.ContainerPort, forClients})
				}
			}
		}
		for _, from := range strangers {
			links = append(links, link{from, at(to), corev1.ProtocolTCP, 22, false})
		}
	}
	for _, to := range r.Pods() {
		if !to.Backup {
			continue
		}
		for _, port := range []int32{22, 6379, 8080} { // only servers connect to a pod of a backup: to that of launcher restore
			for _, from := range r.Peers() {
				links = append(links, link{at(from), at(to), corev1.ProtocolTCP, port, port == 8080 && !from.Sentinel()})
			}
			for _, from := range strangers {
				links = append(links, link{from, at(to), corev1.ProtocolTCP, port, false})
			}
		}
	}
	known := slices.Concat([]int32{22, 25, 80, 443, 6379, 8080, 26379, 50000}, portsOfTheWebhook(r), portsOfTheBucket(r), portsOfTheExternalMaster(r))
	for _, from := range r.Pods() {
		if !from.CallsAPI() {
			continue
		}
		outside := portsOutside(r, from)
		for _, to := range strangers {
			links = append(links, link{at(from), to, corev1.ProtocolUDP, 53, true}, link{at(from), to, corev1.ProtocolTCP, 53, true})
			for _, port := range outside {
				links = append(links, link{at(from), to, corev1.ProtocolTCP, port, true})
			}
			for _, port := range known {
				if !slices.Contains(outside, port) {
					links = append(links, link{at(from), to, corev1.ProtocolTCP, port, false})
				}
			}
		}
	}
	return links
}

// portsOutside are the ports of the API server, for a sentinel that of the webhook, for a server that of the external master, and for a pod that makes
// or restores a backup that of the bucket.
func portsOutside(r *Release, p Pod) []int32 {
	var ports []int32
	configured, _ := r.value("networkPolicy", "apiServerPorts").([]any)
	for _, port := range configured {
		// Numbers of a values file are floats, those of --set are not.
		if number, err := strconv.Atoi(fmt.Sprint(port)); err == nil {
			ports = append(ports, int32(number))
		}
	}
	if p.Sentinel() {
		ports = append(ports, portsOfTheWebhook(r)...)
	} else {
		ports = append(ports, portOfTheExternalMaster(p)...)
	}
	if _, restores := p.Containers()[0].Literal("LAUNCHER_RESTORE_FROM"); p.Backup || restores {
		ports = append(ports, portsOfTheBucket(r)...)
	}
	return ports
}

// portsOfTheBucket is the port of the S3 server for backups, if there is one.
func portsOfTheBucket(r *Release) []int32 {
	for _, p := range r.Pods() {
		endpoint, found := p.Containers()[0].Literal("LAUNCHER_BACKUP_S3_ENDPOINT")
		if !found {
			continue
		}
		return portOf(endpoint)
	}
	return nil
}

// portsOfTheExternalMaster is the port of the external master that servers follow, if there is one.
func portsOfTheExternalMaster(r *Release) []int32 {
	for _, p := range r.Pods() {
		if ports := portOfTheExternalMaster(p); ports != nil {
			return ports
		}
	}
	return nil
}

// portOfTheExternalMaster is the port in the environment of a server that follows an external master.
func portOfTheExternalMaster(p Pod) []int32 {
	address, _ := p.Containers()[0].Literal("LAUNCHER_EXTERNAL_MASTER")
	if _, text, err := net.SplitHostPort(address); err == nil {
		if port, err := strconv.Atoi(text); err == nil {
			return []int32{int32(port)}
		}
	}
	return nil
}

// portOf is the port of an http or https address.
func portOf(address string) []int32 {
	scheme, host, _ := strings.Cut(address, "://")
	if end := strings.IndexAny(host, "/?#"); end >= 0 {
		host = host[:end]
	}
	if port, err := strconv.Atoi((&url.URL{Host: host}).Port()); err == nil && port > 0 {
		return []int32{int32(port)}
	}
	if scheme == "http" {
		return []int32{80}
	}
	return []int32{443}
}

// portsOfTheWebhook is the port of the address in the environment of a sentinel; that of https where a Secret holds it.
func portsOfTheWebhook(r *Release) []int32 {
	for _, c := range r.Containers() {
		for _, e := range c.Env {
			if e.Name != "LAUNCHER_NOTIFY_WEBHOOK_URL" {
				continue
			}
			return portOf(e.Value)
		}
	}
	return nil
}

// passes says whether NetworkPolicies of the release let a link through, as a network plugin decides it.
func passes(policies []*networkingv1.NetworkPolicy, l link) bool {
	leaves, enters, limitedOut, limitedIn := false, false, false, false
	for _, policy := range policies {
		if slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) && selects(policy, l.from) {
			limitedOut = true
			for _, rule := range policy.Spec.Egress {
				leaves = leaves || hasPort(rule.Ports, l) && hasPeer(policy, rule.To, l.to)
			}
		}
		if slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) && selects(policy, l.to) {
			limitedIn = true
			for _, rule := range policy.Spec.Ingress {
				enters = enters || hasPort(rule.Ports, l) && hasPeer(policy, rule.From, l.from)
			}
		}
	}
	return (leaves || !limitedOut) && (enters || !limitedIn)
}

// selects says whether a policy is about a pod.
func selects(policy *networkingv1.NetworkPolicy, p place) bool {
	return p.namespace == policy.Namespace && matches(&policy.Spec.PodSelector, p.labels)
}

func hasPort(ports []networkingv1.NetworkPolicyPort, l link) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(port networkingv1.NetworkPolicyPort) bool {
		if port.Protocol != nil && *port.Protocol != l.protocol || port.Protocol == nil && l.protocol != corev1.ProtocolTCP {
			return false
		}
		if port.Port == nil {
			return true
		}
		first := port.Port.IntVal
		last := first
		if port.EndPort != nil {
			last = *port.EndPort
		}
		return first <= l.port && l.port <= last
	})
}

func hasPeer(policy *networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer, p place) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		if peer.IPBlock != nil {
			return inside(peer.IPBlock.CIDR, p.address) && !slices.ContainsFunc(peer.IPBlock.Except, func(cidr string) bool { return inside(cidr, p.address) })
		}
		here := p.namespace == policy.Namespace
		if peer.NamespaceSelector != nil {
			here = p.namespace != "" && matches(peer.NamespaceSelector, labels.Set{corev1.LabelMetadataName: p.namespace})
		}
		return here && (peer.PodSelector == nil || matches(peer.PodSelector, p.labels))
	})
}

func matches(selector *metav1.LabelSelector, set labels.Set) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(set)
}

func inside(cidr string, address netip.Addr) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Contains(address)
}
