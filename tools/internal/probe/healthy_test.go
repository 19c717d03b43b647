package probe

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// complete is a release of two servers and a sentinel that agree.
func complete() *Watcher {
	w := &Watcher{release: Release{MasterService: "master"}, pods: map[string]*corev1.Pod{}, servers: map[string]string{},
		role: map[string]Role{}, endpoints: map[string]bool{"10.0.0.1": true}}
	for name, role := range map[string]string{"a": "master", "b": "slave", "s": "sentinel"} {
		w.pods[name] = &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{RoleLabel: role}},
			Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		}
	}
	w.servers = map[string]string{"10.0.0.1": "a", "10.0.0.2": "b"}
	w.role = map[string]Role{"10.0.0.1": {Role: "master"}, "10.0.0.2": {Role: "slave", Linked: true}}
	return w
}

func TestReleaseIsHealthyWhenRolesLabelsAndEndpointsSayTheSame(t *testing.T) {
	assert.Empty(t, complete().Healthy(2, 3))
	for problem, change := range map[string]func(w *Watcher){
		"3 pods and 1 servers, want 3 and 2":                  func(w *Watcher) { delete(w.servers, "10.0.0.2") },
		"s is not ready":                                      func(w *Watcher) { w.pods["s"].Status.Conditions = nil },
		"b is not ready":                                      func(w *Watcher) { w.pods["b"].DeletionTimestamp = &metav1.Time{} },
		"b is not connected to its master":                    func(w *Watcher) { w.role["10.0.0.2"] = Role{Role: "slave"} },
		"b does not say its role":                             func(w *Watcher) { w.role["10.0.0.2"] = Role{} },
		"a says master and is labelled slave":                 func(w *Watcher) { w.pods["a"].Labels[RoleLabel] = "slave" },
		"a is master, and behind the master's Service: false": func(w *Watcher) { w.endpoints = map[string]bool{} },
		"b is slave, and behind the master's Service: true":   func(w *Watcher) { w.endpoints["10.0.0.2"] = true },
	} {
		w := complete()
		change(w)
		assert.Equal(t, problem, w.Healthy(2, 3))
	}
}

func TestChartsWithoutTheLabelAreHealthyByTheirRoles(t *testing.T) {
	w := complete()
	w.release.MasterService = ""
	for _, pod := range w.pods {
		delete(pod.Labels, RoleLabel)
	}
	assert.Empty(t, w.Healthy(2, 3))
}
