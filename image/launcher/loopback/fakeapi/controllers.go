package fakeapi

import (
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// controller is who the history names for changes that no launcher asked for.
const controller = "controllers"

// PodTemplate is what a test decides about a pod; the rest is as the kubelet
// reports a running pod.
type PodTemplate struct {
	Name, UID, IP string
	Labels        map[string]string
	Created       time.Time // cut to seconds, as the API does
	Container     string
}

// CreatePod adds a running pod.
func (s *Server) CreatePod(template PodTemplate) error {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: template.Name, Namespace: s.Namespace, UID: types.UID(template.UID), Labels: template.Labels,
			CreationTimestamp: metav1.NewTime(template.Created.Truncate(time.Second)),
		},
		Spec: corev1.PodSpec{
			NodeName:   "node-of-" + template.Name,
			Containers: []corev1.Container{{Name: template.Container, Image: "redis-ha"}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: template.IP, PodIPs: []corev1.PodIP{{IP: template.IP}}, StartTime: &now,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: template.Container, Ready: true, Started: new(true),
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
			}},
		},
	}
	if !s.store.create(pods, controller, pod) {
		return fmt.Errorf("create pod %s: the name is taken", template.Name)
	}
	return nil
}

// CreateLease adds a Lease without a spec, as the chart does.
func (s *Server) CreateLease(name string) error {
	if !s.store.create(leases, controller, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Namespace}}) {
		return fmt.Errorf("create lease %s: the name is taken", name)
	}
	return nil
}

// MarkDeleted sets the deletion timestamp of a pod: from here on it is
// terminating and its launcher has the grace period to leave.
func (s *Server) MarkDeleted(name string, grace time.Duration) error {
	return s.UpdatePod(name, func(pod *corev1.Pod) {
		at, seconds := metav1.NewTime(time.Now().Add(grace).Truncate(time.Second)), int64(grace/time.Second)
		pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &at, &seconds
	})
}

// RemovePod deletes the object of a pod whose containers have ended.
func (s *Server) RemovePod(name string) error {
	if !s.store.remove(pods, controller, name) {
		return fmt.Errorf("remove pod %s: there is none", name)
	}
	return nil
}

// UpdatePod changes a pod on behalf of the kubelet or a controller.
func (s *Server) UpdatePod(name string, edit func(*corev1.Pod)) error {
	stored, err := s.store.update(pods, controller, name, func(object Object) (Object, error) {
		edit(object.(*corev1.Pod))
		return object, nil
	})
	if err == nil && stored == nil {
		err = fmt.Errorf("update pod %s: there is none", name)
	}
	return err
}

// Pods returns copies of all pods, in the order of their names.
func (s *Server) Pods() []*corev1.Pod {
	objects, _ := s.store.list(pods)
	var result []*corev1.Pod
	for _, object := range objects {
		result = append(result, object.DeepCopyObject().(*corev1.Pod))
	}
	return result
}

// Pod returns a copy of one pod, or nil.
func (s *Server) Pod(name string) *corev1.Pod {
	if object := s.store.get(pods, name); object != nil {
		return object.(*corev1.Pod)
	}
	return nil
}

// Lease returns a copy of one Lease, or nil.
func (s *Server) Lease(name string) *coordinationv1.Lease {
	if object := s.store.get(leases, name); object != nil {
		return object.(*coordinationv1.Lease)
	}
	return nil
}

// Events returns copies of all events, in the order of their names.
func (s *Server) Events() []*corev1.Event {
	objects, _ := s.store.list(events)
	var result []*corev1.Event
	for _, object := range objects {
		result = append(result, object.DeepCopyObject().(*corev1.Event))
	}
	return result
}

// Changed returns a channel that is closed by the next change of anything.
func (s *Server) Changed() <-chan struct{} {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return s.store.changed
}

// RoleChange is one change of the label redis-role. An empty role means none.
type RoleChange struct {
	At           time.Time
	Pod, By      string
	Before, Role string
}

func (c RoleChange) String() string {
	show := func(role string) string {
		if role == "" {
			return "none"
		}
		return role
	}
	return fmt.Sprintf("%s %s: %s -> %s (by %s)", c.At.Format("15:04:05.000"), c.Pod, show(c.Before), show(c.Role), c.By)
}

// RoleChanges is the history of the label redis-role over all pods.
func (s *Server) RoleChanges() []RoleChange {
	s.store.mu.Lock()
	history := s.store.tables[pods].history
	s.store.mu.Unlock()
	var result []RoleChange
	for _, entry := range history {
		next := RoleChange{At: entry.at, By: entry.by}
		if entry.before != nil {
			next.Pod, next.Before = entry.before.GetName(), entry.before.GetLabels()[RoleLabel]
		}
		if entry.after != nil {
			next.Pod, next.Role = entry.after.GetName(), entry.after.GetLabels()[RoleLabel]
		}
		if next.Before != next.Role {
			result = append(result, next)
		}
	}
	return result
}
