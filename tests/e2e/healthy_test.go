package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/internal/fault"
)

// healthy finds nothing wrong when the API, every Redis and every Sentinel tell
// the same of a complete release.
func (r *release) healthy(ctx context.Context) error {
	v, err := r.look(ctx)
	if err != nil {
		return err
	}
	return v.problems(r)
}

// problems lists what is not as it should be.
func (v *view) problems(r *release) error {
	found := []error{v.podProblems(r), v.labelProblems(), v.endpointProblems(r)}
	if masters := v.with("master"); len(masters) == 1 {
		found = append(found, v.serverProblems(r, &masters[0]), v.sentinelProblems(r, &masters[0]))
	}
	return errors.Join(found...)
}

func (v *view) podProblems(r *release) error {
	var problems []error
	for component, want := range map[string]int{"server": r.servers, "sentinel": r.sentinels} {
		pods := v.component(component)
		if len(pods) != want {
			problems = append(problems, fmt.Errorf("%d %s pods, want %d", len(pods), component, want))
		}
		for _, pod := range pods {
			if pod.DeletionTimestamp != nil || !isReady(&pod) {
				problems = append(problems, errors.New("not ready: "+fault.DescribePod(&pod)))
			}
		}
	}
	roles := map[string]int{"master": 1, "slave": r.servers - 1, "sentinel": r.sentinels}
	for role, want := range roles {
		if got := len(v.with(role)); got != want {
			problems = append(problems, fmt.Errorf("%d pods have redis-role=%s, want %d", got, role, want))
		}
	}
	return errors.Join(problems...)
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// labelProblems compares the labels podIP and runID with the truth.
func (v *view) labelProblems() error {
	var problems []error
	for _, pod := range v.pods {
		if pod.Labels["podIP"] != pod.Status.PodIP {
			problems = append(problems, fmt.Errorf("pod %s has the address %s and the label podIP=%s", pod.Name, pod.Status.PodIP, pod.Labels["podIP"]))
		}
		runID := v.answers[pod.Status.PodIP]["run_id"]
		if pod.Labels["component"] == "server" && (len(runID) < 6 || pod.Labels["runID"] != runID[:6]) {
			problems = append(problems, fmt.Errorf("pod %s has the run ID %q and the label runID=%s", pod.Name, runID, pod.Labels["runID"]))
		}
	}
	return errors.Join(problems...)
}

// endpointProblems compares what is behind the Services with the labels.
func (v *view) endpointProblems(r *release) error {
	var problems []error
	behind := map[string]string{
		r.fullname(): "master", r.fullname() + "-master-svc": "master",
		r.fullname() + "-slave-svc": "slave", r.fullname() + "-sentinel": "sentinel",
	}
	for service, role := range behind {
		if got, want := v.endpoints[service], addresses(v.with(role)); !slices.Equal(got, want) {
			problems = append(problems, fmt.Errorf("behind Service %s are %v, but redis-role=%s have %v", service, got, role, want))
		}
	}
	return errors.Join(problems...)
}

// serverProblems asks whether every server plays the role of its label.
func (v *view) serverProblems(r *release, master *corev1.Pod) error {
	var problems []error
	for _, pod := range v.component("server") {
		a := v.answers[pod.Status.PodIP]
		if pod.Name == master.Name {
			if a["role"] != "master" || a.number("connected_slaves") != r.servers-1 {
				problems = append(problems, fmt.Errorf("master %s says role %q with %q slaves, want %d", pod.Name, a["role"], a["connected_slaves"], r.servers-1))
			}
			continue
		}
		if a["role"] != "slave" || a["master_host"] != master.Status.PodIP || a["master_link_status"] != "up" {
			problems = append(problems, fmt.Errorf("slave %s says role %q of %q, link %q, want the master %s (%s)",
				pod.Name, a["role"], a["master_host"], a["master_link_status"], master.Name, master.Status.PodIP))
		}
	}
	return errors.Join(problems...)
}

// sentinelProblems asks whether all sentinels see the same, and no sentinel of
// the past: each of these raises the majority until no failover is possible.
func (v *view) sentinelProblems(r *release, master *corev1.Pod) error {
	var problems []error
	for _, pod := range v.component("sentinel") {
		a := v.answers[pod.Status.PodIP]
		if a["ip"] != master.Status.PodIP || a["flags"] != "master" ||
			a.number("num-slaves") < r.servers-1 || a.number("num-other-sentinels") != r.sentinels-1 {
			problems = append(problems, fmt.Errorf("sentinel %s names %q (%s) with %q slaves and %q other sentinels, want %s, at least %d and %d", pod.Name,
				a["ip"], a["flags"], a["num-slaves"], a["num-other-sentinels"], master.Status.PodIP, r.servers-1, r.sentinels-1))
		}
	}
	return errors.Join(problems...)
}

// tidy is healthy without any memory of replicas that are gone: Sentinel keeps
// them for ever, so the launchers clean up, some time after.
func (r *release) tidy(ctx context.Context) error {
	v, err := r.look(ctx)
	if err != nil {
		return err
	}
	problems := []error{v.problems(r)}
	for _, pod := range v.component("sentinel") {
		if known := v.answers[pod.Status.PodIP].number("num-slaves"); known != r.servers-1 {
			problems = append(problems, fmt.Errorf("sentinel %s knows %d replicas, want %d", pod.Name, known, r.servers-1))
		}
	}
	return errors.Join(problems...)
}
