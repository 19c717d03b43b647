package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	redisPort    = 6379
	sentinelPort = 26379
	masterName   = "mymaster"
)

// view is a release at one moment, as the API and its Redis processes tell it.
type view struct {
	pods []corev1.Pod
	// answers holds what Redis and Sentinel say of themselves, by pod IP.
	answers map[string]answer
	// endpoints holds the addresses behind each Service, sorted, by the name
	// of the Service.
	endpoints map[string][]string
}

// answer is what one process says: the fields of INFO, or of SENTINEL MASTER.
type answer map[string]string

func (a answer) number(field string) int {
	n, err := strconv.Atoi(a[field])
	if err != nil {
		return -1
	}
	return n
}

// look takes a view of the release.
func (r *release) look(ctx context.Context) (*view, error) {
	pods, err := env.Kube.CoreV1().Pods(r.namespace).List(ctx, r.listOptions())
	if err != nil {
		return nil, fmt.Errorf("list the pods: %w", err)
	}
	v := &view{pods: pods.Items, endpoints: map[string][]string{}}
	slicesFound, err := env.Kube.DiscoveryV1().EndpointSlices(r.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the endpoints: %w", err)
	}
	for _, slice := range slicesFound.Items {
		service := slice.Labels[discoveryv1.LabelServiceName]
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				v.endpoints[service] = append(v.endpoints[service], endpoint.Addresses...)
			}
		}
	}
	for _, addresses := range v.endpoints {
		slices.Sort(addresses)
	}
	v.answers, err = r.ask(ctx, v.pods)
	return v, err
}

// ask asks every running pod's Redis or Sentinel, from the client's pod.
func (r *release) ask(ctx context.Context, pods []corev1.Pod) (map[string]answer, error) {
	var script strings.Builder
	script.WriteString(login(r.password))
	script.WriteString("ask() { echo \"@ $1\"; timeout 2 " + r.redisCLI(r.clientFiles()) + " -h \"$1\" -p \"$2\" 2>&1 | tr -d '\\r'; echo; }\n")
	for _, pod := range pods {
		if pod.Status.PodIP == "" || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		port, question := redisPort, `INFO replication\nINFO server\nDBSIZE\n`
		if pod.Labels["component"] == "sentinel" {
			port, question = sentinelPort, `SENTINEL MASTER `+masterName+`\n`
		}
		fmt.Fprintf(&script, "printf '%s' | ask %s %d\n", question, pod.Status.PodIP, port)
	}
	text, err := env.Execute(ctx, workNamespace, clientPod, strings.NewReader(script.String()), "bash", "-s")
	if err != nil {
		return nil, err
	}
	return parseAnswers(text), nil
}

// parseAnswers reads "@ address" lines, each followed by what the process
// there said: `field:value` of INFO, or field and value on alternate lines.
func parseAnswers(text string) map[string]answer {
	answers := map[string]answer{}
	var current answer
	var field string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if address, found := strings.CutPrefix(line, "@ "); found {
			current, field = answer{}, ""
			answers[address] = current
			continue
		}
		if current == nil {
			continue
		}
		name, value, isInfo := strings.Cut(line, ":")
		switch {
		case field != "":
			current[field], field = line, ""
		case line == "" || strings.HasPrefix(line, "#"):
		case isInfo:
			current[name] = value
		default:
			field = line
		}
	}
	return answers
}

// login is the line of a shell script that gives redis-cli a password. An empty
// one would be tried as well, and refused.
func login(password string) string {
	if password == "" {
		return ""
	}
	return "export REDISCLI_AUTH=" + quote(password) + "\n"
}

// quote makes a word of a shell script.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// with lists the pods that have the role label and are not on their way out.
func (v *view) with(role string) []corev1.Pod {
	return v.filter(func(pod *corev1.Pod) bool { return pod.Labels["redis-role"] == role })
}

// component lists the pods of one component, those that terminate included.
func (v *view) component(name string) []corev1.Pod {
	return v.filter(func(pod *corev1.Pod) bool { return pod.Labels["component"] == name })
}

func (v *view) filter(keep func(*corev1.Pod) bool) []corev1.Pod {
	var kept []corev1.Pod
	for _, pod := range v.pods {
		if keep(&pod) {
			kept = append(kept, pod)
		}
	}
	return kept
}

func addresses(pods []corev1.Pod) []string {
	found := []string{}
	for _, pod := range pods {
		if pod.Status.PodIP != "" {
			found = append(found, pod.Status.PodIP)
		}
	}
	slices.Sort(found)
	return found
}
