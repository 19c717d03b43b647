package kube

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

type (
	runtimeObject  = runtime.Object
	watchInterface = watch.Interface
)

// dropUnused keeps the cached pods small: only what podOf reads stays.
func dropUnused(object any) (any, error) {
	p, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	var containers []corev1.ContainerStatus
	for _, container := range p.Status.ContainerStatuses {
		containers = append(containers, corev1.ContainerStatus{Name: container.Name, Resources: container.Resources})
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: p.Name, Namespace: p.Namespace, UID: p.UID, ResourceVersion: p.ResourceVersion,
			Labels: p.Labels, CreationTimestamp: p.CreationTimestamp, DeletionTimestamp: p.DeletionTimestamp,
			Annotations: map[string]string{DeletionCost: p.Annotations[DeletionCost]},
		},
		Spec:   corev1.PodSpec{NodeName: p.Spec.NodeName},
		Status: corev1.PodStatus{Phase: p.Status.Phase, PodIP: p.Status.PodIP, Conditions: p.Status.Conditions, ContainerStatuses: containers},
	}, nil
}
