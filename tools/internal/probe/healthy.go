package probe

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Healthy says what is wrong with the release, empty if nothing is: servers and
// all other pods are there and ready, one server is master and the others are
// connected to one, and labels and endpoints say the same.
func (w *Watcher) Healthy(servers, pods int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if silent := time.Since(w.heard); !w.heard.IsZero() && silent > blindAfter {
		return fmt.Sprintf("the program that asks the servers has not been heard of for %s", silent.Round(time.Second))
	}
	if len(w.pods) != pods || len(w.servers) != servers {
		return fmt.Sprintf("%d pods and %d servers, want %d and %d", len(w.pods), len(w.servers), pods, servers)
	}
	for _, pod := range w.pods {
		if pod.DeletionTimestamp != nil || !ready(pod) {
			return pod.Name + " is not ready"
		}
	}
	master := ""
	for address, name := range w.servers {
		r := w.role[address]
		label, labelled := w.pods[name].Labels[RoleLabel]
		switch {
		case r.Role == "master" && master != "":
			return fmt.Sprintf("%s and %s say they are master", master, name)
		case r.Role == "master":
			master = name
		case r.Role == "slave" && !r.Linked:
			return name + " is not connected to its master"
		case r.Role == "":
			return name + " does not say its role"
		}
		if labelled && label != r.Role {
			return fmt.Sprintf("%s says %s and is labelled %s", name, r.Role, label)
		}
		if w.release.MasterService != "" && w.endpoints[address] != (r.Role == "master") {
			return fmt.Sprintf("%s is %s, and behind the master's Service: %t", name, r.Role, w.endpoints[address])
		}
	}
	if master == "" {
		return "no server says it is master"
	}
	return ""
}

// Blind gives the longest time since a moment in which nothing was heard of the servers; 0 for none.
func (w *Watcher) Blind(since time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var longest time.Duration
	for _, s := range w.blind {
		if s.until.After(since) {
			longest = max(longest, s.took)
		}
	}
	return longest
}

// AwaitHealthy waits until the release has been healthy for a while.
func (w *Watcher) AwaitHealthy(ctx context.Context, servers, pods int, settled, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	since := time.Now()
	for {
		problem := w.Healthy(servers, pods)
		if problem != "" {
			since = time.Now()
		} else if time.Since(since) >= settled {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for a healthy release: %s", limit, problem)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Master gives the pod that says it is master.
func (w *Watcher) Master() (*corev1.Pod, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for address, name := range w.servers {
		if w.role[address].Role == "master" && w.pods[name] != nil {
			return w.pods[name], nil
		}
	}
	return nil, fmt.Errorf("no server says it is master: %v", w.role)
}

// RoleOf gives the role that a server played last, and none for a pod that has not been seen as one.
func (w *Watcher) RoleOf(pod string) Role {
	w.mu.Lock()
	defer w.mu.Unlock()
	for address, name := range w.servers {
		if name == pod {
			return w.role[address]
		}
	}
	return Role{}
}

// Pods lists the pods of the release, servers first.
func (w *Watcher) Pods() (servers, others []corev1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, pod := range w.pods {
		if w.servers[pod.Status.PodIP] == name {
			servers = append(servers, *pod)
		} else {
			others = append(others, *pod)
		}
	}
	return servers, others
}

// History gives what happened from a moment on, in its order.
func (w *Watcher) History(from time.Time) []Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []Entry
	for _, e := range w.entries {
		if !e.At.Before(from) {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b Entry) int { return a.At.Compare(b.At) })
	return found
}
