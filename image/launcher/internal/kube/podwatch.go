package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
)

// The pauses between two attempts to list and watch the pods. client-go's own grow to
// between 30 and 60 s, with which a launcher would find out late that the API is back.
const (
	// firstPause is client-go's own first pause. Its jitter makes it up to twice as long.
	firstPause = 800 * time.Millisecond
	// longestPause bounds the pauses, before the jitter. With it they are at most 5 s.
	longestPause = 2500 * time.Millisecond
	// pauseJitter keeps the launchers of many releases from asking all at once. It is client-go's own.
	pauseJitter = 1.0
)

// newPodReflector prepares the watch of the pods of the release.
func (k *Client) newPodReflector() *cache.Reflector {
	selector := k.config.PodSelector.String()
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (list runtimeObject, err error) {
			o.LabelSelector = selector
			list, err = k.pods.List(ctx, o)
			k.noteProblem(Explain(err, "list", "pods"))
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (w watchInterface, err error) {
			o.LabelSelector = selector
			w, err = k.pods.Watch(ctx, o)
			k.noteProblem(Explain(err, "watch", "pods"))
			return w, err
		},
	}
	return cache.NewReflectorWithOptions(source, &corev1.Pod{}, k.known, cache.ReflectorOptions{Name: "pods", Backoff: pauses()})
}

// pauses gives the pauses between attempts. They double up to the longest one.
func pauses() *wait.Backoff {
	return &wait.Backoff{Duration: firstPause, Factor: 2, Jitter: pauseJitter, Cap: longestPause, Steps: int(longestPause / firstPause)}
}

// knownPods are the pods of the release as the watch last told of them.
type knownPods struct {
	// changed is called after each change. A new list is one change of each pod of it.
	// before and after are nil where there was, or is, no such pod.
	changed func(before, after *Pod)

	mu     sync.Mutex
	pods   map[string]Pod // by name
	listed bool           // the list has been read once
}

func newKnownPods(changed func(before, after *Pod)) *knownPods {
	return &knownPods{changed: changed, pods: map[string]Pod{}}
}

var _ cache.TransformingStore = &knownPods{}

// Add takes in a pod that is new.
func (s *knownPods) Add(object any) error { return s.Update(object) }

// Update takes in what has become of a pod.
func (s *knownPods) Update(object any) error {
	pod, err := asPod(object)
	if err == nil {
		s.set(pod.Name, &pod)
	}
	return err
}

// Delete forgets a pod.
func (s *knownPods) Delete(object any) error {
	pod, err := asPod(object)
	if err == nil {
		s.set(pod.Name, nil)
	}
	return err
}

// Replace takes in a whole list.
func (s *knownPods) Replace(objects []any, _ string) error {
	pods := make(map[string]Pod, len(objects))
	for _, object := range objects {
		pod, err := asPod(object)
		if err != nil {
			return err
		}
		pods[pod.Name] = pod
	}
	s.mu.Lock()
	before := s.pods
	s.pods, s.listed = pods, true
	s.mu.Unlock()
	for name, pod := range pods {
		s.changed(find(before, name), &pod)
	}
	for name, pod := range before {
		if find(pods, name) == nil {
			s.changed(&pod, nil)
		}
	}
	return nil
}

// Resync has nothing to do: nothing is kept that the watch could have missed.
func (s *knownPods) Resync() error { return nil }

// Transformer makes the reflector's own list of pods small, too.
func (s *knownPods) Transformer() cache.TransformFunc { return dropUnused }

// set replaces a pod, or forgets it if it is nil.
func (s *knownPods) set(name string, pod *Pod) {
	s.mu.Lock()
	before := find(s.pods, name)
	if pod == nil {
		delete(s.pods, name)
	} else {
		s.pods[name] = *pod
	}
	s.mu.Unlock()
	s.changed(before, pod)
}

// list gives the pods.
func (s *knownPods) list() []Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	pods := make([]Pod, 0, len(s.pods))
	for _, pod := range s.pods {
		pods = append(pods, pod)
	}
	return pods
}

// read says whether the list has been read once.
func (s *knownPods) read() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed
}

func find(pods map[string]Pod, name string) *Pod {
	if pod, ok := pods[name]; ok {
		return &pod
	}
	return nil
}

// asPod reads what client-go stores.
func asPod(object any) (Pod, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return Pod{}, fmt.Errorf("read the pods of the release: the API sent a %T", object)
	}
	return podOf(pod), nil
}
