package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// watcher follows the pods of a release while tests run: how the labels change,
// and what every container logs, which is gone with its pod.
type watcher struct {
	dir    string
	cancel context.CancelFunc

	mu      sync.Mutex
	entries []entry
	masters map[string]bool // pods with the master label
	logged  map[string]bool // containers whose log is followed
}

// entry is one line of the history of a release.
type entry struct {
	at   time.Time
	text string
}

// watch starts a watcher.
func watch(r *release) *watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{
		dir: filepath.Join(env.dir, "logs", r.namespace, r.name), cancel: cancel,
		masters: map[string]bool{}, logged: map[string]bool{},
	}
	factory := informers.NewSharedInformerFactoryWithOptions(env.Kube, 0, informers.WithNamespace(r.namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = r.selector() }))
	// The handler cannot be refused: the informer has not been stopped.
	_, _ = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(added any) { w.seen(ctx, nil, added.(*corev1.Pod)) },
		UpdateFunc: func(before, after any) {
			w.seen(ctx, before.(*corev1.Pod), after.(*corev1.Pod))
		},
		DeleteFunc: func(deleted any) {
			if pod, ok := deleted.(*corev1.Pod); ok {
				w.role(pod.Name, pod.Labels["redis-role"], "")
				w.note("%s is gone", pod.Name)
			}
		},
	})
	factory.Start(ctx.Done())
	return w
}

func (w *watcher) stop() { w.cancel() }

func (w *watcher) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries = append(w.entries, entry{at: time.Now(), text: fmt.Sprintf(format, args...)})
}

// seen compares two states of a pod.
func (w *watcher) seen(ctx context.Context, before, after *corev1.Pod) {
	old := ""
	if before != nil {
		old = before.Labels["redis-role"]
		if before.DeletionTimestamp == nil && after.DeletionTimestamp != nil {
			w.note("%s terminates", after.Name)
		}
		if isReady(before) != isReady(after) {
			w.note("%s ready=%t", after.Name, isReady(after))
		}
	}
	w.role(after.Name, old, after.Labels["redis-role"])
	for _, status := range after.Status.ContainerStatuses {
		if status.State.Running != nil {
			w.follow(ctx, after, status.Name, status.RestartCount)
		}
	}
}

// role enters a change of the label.
func (w *watcher) role(pod, before, after string) {
	if before == after {
		return
	}
	w.mu.Lock()
	delete(w.masters, pod)
	if after == "master" {
		w.masters[pod] = true
	}
	masters := len(w.masters)
	w.mu.Unlock()
	w.note("%s: redis-role %q -> %q; pods with master: %d", pod, before, after, masters)
}

// follow writes a container's log to a file until the container ends.
func (w *watcher) follow(ctx context.Context, pod *corev1.Pod, container string, restarts int32) {
	name := fmt.Sprintf("%s-%d.log", pod.Name, restarts)
	if _, numbered := pod.Labels[appsv1.PodIndexLabel]; numbered { // a later pod has the same name
		name = fmt.Sprintf("%s-%s-%d.log", pod.Name, pod.UID, restarts)
	}
	w.mu.Lock()
	known := w.logged[name]
	w.logged[name] = true
	w.mu.Unlock()
	if known {
		return
	}
	if restarts > 0 {
		w.note("%s: container %s was restarted (%d)", pod.Name, container, restarts)
	}
	go func() {
		if err := w.copyLog(ctx, pod, container, name); err != nil && ctx.Err() == nil {
			w.note("log of %s: %v", name, err)
		}
	}()
}

func (w *watcher) copyLog(ctx context.Context, pod *corev1.Pod, container, name string) error {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return fmt.Errorf("make a folder for logs: %w", err)
	}
	file, err := os.Create(filepath.Join(w.dir, name))
	if err != nil {
		return fmt.Errorf("keep a log: %w", err)
	}
	defer file.Close()
	options := &corev1.PodLogOptions{Container: container, Follow: true, Timestamps: true}
	log, err := env.Kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return fmt.Errorf("follow it: %w", err)
	}
	defer log.Close()
	if _, err := io.Copy(file, log); err != nil {
		return fmt.Errorf("follow it: %w", err)
	}
	return nil
}

// history tells what happened since a moment, with times relative to it.
func (w *watcher) history(since time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var text strings.Builder
	for _, e := range w.entries {
		if !e.at.Before(since) {
			fmt.Fprintf(&text, "  %+8.3f s  %s\n", e.at.Sub(since).Seconds(), e.text)
		}
	}
	return text.String()
}
