package kube

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

var (
	getOptions    = metav1.GetOptions{}
	updateOptions = metav1.UpdateOptions{}
)

// captured is one request as it went over the wire.
type captured struct {
	method, path, contentType string
	body                      any
}

// capture gives a client whose requests are kept and answered with a pod.
func capture(t *testing.T) (*Client, *[]captured) {
	t.Helper()
	var requests []captured
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		c := captured{r.Method, r.URL.Path, r.Header.Get("Content-Type"), nil}
		_ = json.Unmarshal(text, &c.body)
		requests = append(requests, c)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"}}`)
	}))
	t.Cleanup(server.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"`+
		server.URL+`"}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`), 0o600))
	c, err := New(config.Config{PodName: "server-a", PodUID: "uid-a", Namespace: "ns", PodSelector: labels.Everything(), Kubeconfig: kubeconfig},
		slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return c, &requests
}

func TestOwnLabelsAreOneMergePatchTiedToThePod(t *testing.T) {
	c, requests := capture(t)
	require.NoError(t, c.PatchLabels(t.Context(), map[string]string{RoleLabel: "", PodIPLabel: "10.0.0.1"}, map[string]string{DeletionCost: "0", "gone": ""}))
	require.Equal(t, []captured{{"PATCH", "/api/v1/namespaces/ns/pods/server-a", "application/merge-patch+json", map[string]any{
		"metadata": map[string]any{
			"uid":         "uid-a",
			"labels":      map[string]any{RoleLabel: nil, PodIPLabel: "10.0.0.1"},
			"annotations": map[string]any{DeletionCost: "0", "gone": nil},
		},
	}}}, *requests)
}

func TestLabelOfAnotherPodIsTakenOnlyAfterTests(t *testing.T) {
	c, requests := capture(t)
	require.NoError(t, c.ClearMasterLabel(t.Context(), Pod{Name: "server-b", UID: "uid-b"}))
	require.Equal(t, []captured{{"PATCH", "/api/v1/namespaces/ns/pods/server-b", "application/json-patch+json", []any{
		map[string]any{"op": "test", "path": "/metadata/uid", "value": "uid-b"},
		map[string]any{"op": "test", "path": "/metadata/labels/redis-role", "value": "master"},
		map[string]any{"op": "remove", "path": "/metadata/labels/redis-role"},
	}}}, *requests)
}

func TestLabelsOfAnotherPodOfTheSameNameAreNotWritten(t *testing.T) {
	server := release(t)
	c := client(t, server, "server-a")
	require.NoError(t, c.PatchLabels(t.Context(), map[string]string{RoleLabel: "slave"}, nil))
	require.Equal(t, "slave", podLabel(server, "server-a", RoleLabel))
	c.config.PodUID = "uid-of-a-pod-before"
	err := c.PatchLabels(t.Context(), map[string]string{RoleLabel: "master"}, nil)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "cannot be reached", "it is answered")
	require.Equal(t, "slave", podLabel(server, "server-a", RoleLabel))
}

func TestLabelIsNotTakenOffAPodThatHasChanged(t *testing.T) {
	server := release(t)
	c := client(t, server, "sentinel-a")
	setLabel(t, server, "server-a", RoleLabel, "slave")
	require.ErrorIs(t, c.ClearMasterLabel(t.Context(), Pod{Name: "server-a", UID: "uid-server-a"}), ErrChanged)
	setLabel(t, server, "server-a", RoleLabel, "master")
	require.ErrorIs(t, c.ClearMasterLabel(t.Context(), Pod{Name: "server-a", UID: "uid-before"}), ErrChanged)
	require.ErrorIs(t, c.ClearMasterLabel(t.Context(), Pod{Name: "gone", UID: "uid-gone"}), ErrChanged)
	require.Equal(t, "master", podLabel(server, "server-a", RoleLabel))
	require.NoError(t, c.ClearMasterLabel(t.Context(), Pod{Name: "server-a", UID: "uid-server-a"}))
	require.Empty(t, podLabel(server, "server-a", RoleLabel))
	require.Empty(t, server.Unexpected())
}

func TestPodThatWaitsForItsVolumeHasNeverRun(t *testing.T) {
	for name, c := range map[string]struct {
		status corev1.PodStatus
		want   bool
	}{
		"it waits":        {corev1.PodStatus{Phase: corev1.PodPending}, true},
		"it has a place":  {corev1.PodStatus{Phase: corev1.PodPending, PodIP: "10.0.0.1"}, false},
		"it runs":         {corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1"}, false},
		"its node is new": {corev1.PodStatus{Phase: corev1.PodRunning}, false},
		"nothing is told": {corev1.PodStatus{}, false},
	} {
		require.Equal(t, c.want, podOf(&corev1.Pod{Status: c.status}).NeverRan(), name)
	}
}

func TestPodOfAStatefulSetTellsItsNumberAndTheRevisionOfItsTemplate(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "release-server-12", Labels: map[string]string{"controller-revision-hash": "release-server-59d7d5b4"}}}
	kept, err := dropUnused(pod)
	require.NoError(t, err)
	found := podOf(kept.(*corev1.Pod))
	require.Equal(t, "release-server-59d7d5b4", found.Revision)
	require.Equal(t, 12, found.Ordinal)
	found = podOf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "release-server-64f6fb69c8-12345"}})
	require.Empty(t, found.Revision)
	require.Zero(t, found.Ordinal, "of a Deployment")
}

func TestPodIsOverdueWhenItsGracePeriodIsOverForLongerThanClocksDiffer(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		pod  Pod
		want bool
	}{
		"it is to stay":               {Pod{}, false},
		"its grace period runs":       {Pod{Terminating: true, GraceEnds: now.Add(time.Second)}, false},
		"it has just ended":           {Pod{Terminating: true, GraceEnds: now.Add(-overdueAfter)}, false},
		"it ended before that":        {Pod{Terminating: true, GraceEnds: now.Add(-overdueAfter - 1)}, true},
		"the same, but it is to stay": {Pod{GraceEnds: now.Add(-time.Hour)}, false},
	} {
		require.Equal(t, c.want, c.pod.Overdue(now), name)
	}
}

func TestPodsOfTheReleaseAreReadWithWhatMatters(t *testing.T) {
	server := release(t)
	require.NoError(t, server.UpdatePod("server-a", func(p *corev1.Pod) {
		p.Labels[RoleLabel], p.Labels[RunIDLabel], p.Labels[PodIPLabel] = "master", "abcdef", "127.0.0.10"
		p.Annotations = map[string]string{DeletionCost: "100", "other": "x"}
	}))
	deleted := time.Now().Truncate(time.Second)
	require.NoError(t, server.MarkDeleted("sentinel-a", time.Minute))
	graceEnds := server.Pod("sentinel-a").DeletionTimestamp.UTC()
	require.WithinRange(t, graceEnds, deleted.Add(time.Minute), deleted.Add(time.Minute+10*time.Second), "the API sets the end of the grace period")
	c := client(t, server, "server-a")
	want := []Pod{
		{Name: "sentinel-a", UID: "uid-sentinel-a", IP: netip.MustParseAddr("127.0.0.11"), Sentinel: true, Created: created, Terminating: true,
			GraceEnds: graceEnds, Ready: true, Phase: corev1.PodRunning, Node: "node-of-sentinel-a"},
		{Name: "server-a", UID: "uid-server-a", IP: netip.MustParseAddr("127.0.0.10"), Server: true, Role: "master", RunID: "abcdef",
			PodIPLabel: "127.0.0.10", Cost: "100", Created: created, Ready: true, Phase: corev1.PodRunning, Node: "node-of-server-a"},
	}
	live, err := c.LivePods(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, inUTC(live))

	require.False(t, c.Synced())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.Run(ctx)
	require.Eventually(t, c.Synced, 10*time.Second, 5*time.Millisecond)
	require.ElementsMatch(t, want, inUTC(c.Pods()), "the list that is watched holds the same")

	require.NoError(t, server.UpdatePod("sentinel-a", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }))
	require.Eventually(t, func() bool { <-c.Changed(); return len(c.Pods()) == 1 }, 10*time.Second, time.Millisecond, "a pod that has ended is none")
	live, err = c.LivePods(t.Context())
	require.NoError(t, err)
	require.Len(t, live, 1)
}

func TestLossOfTheMasterLabelIsToldToThePodThatHadIt(t *testing.T) {
	server := release(t)
	c := client(t, server, "server-a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.Run(ctx)
	require.Eventually(t, c.Synced, 10*time.Second, 5*time.Millisecond)
	told := func() bool {
		select {
		case <-c.Disowned():
			return true
		default:
			return false
		}
	}
	become := func(pod, label string) {
		setLabel(t, server, pod, RoleLabel, label)
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(c.Pods(), func(p Pod) bool { return p.Name == pod && p.Role == label })
		}, 10*time.Second, time.Millisecond)
	}
	become("server-a", "slave")
	become("server-a", "master")
	become("sentinel-a", "master")
	become("sentinel-a", "")
	require.False(t, told(), "it has the label, and what others lose is their affair")
	become("server-a", "")
	require.Eventually(t, told, 10*time.Second, time.Millisecond)
	become("server-a", "slave")
	require.False(t, told(), "it had nothing to lose")
}

// The object of a pod that is deleted by force goes at once, and its label with it. So it
// does where somebody changes the labels by which the release selects its pods.
func TestPodThatIsGoneFromTheReleaseIsToldSo(t *testing.T) {
	server := release(t)
	setLabel(t, server, "server-a", RoleLabel, "master")
	c := client(t, server, "server-a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.False(t, c.Gone(), "the list has not been read yet")
	go c.Run(ctx)
	require.Eventually(t, c.Synced, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, server.RemovePod("sentinel-a"))
	require.Eventually(t, func() bool { return len(c.Pods()) == 1 }, 10*time.Second, time.Millisecond)
	require.False(t, c.Gone(), "another pod is gone")

	setLabel(t, server, "server-a", "app", "quarantine")
	require.Eventually(t, c.Gone, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return len(c.Disowned()) == 1 }, 10*time.Second, time.Millisecond, "it was master")
	<-c.Disowned()
	setLabel(t, server, "server-a", "app", "redis-ha")
	require.Eventually(t, func() bool { return !c.Gone() }, 10*time.Second, time.Millisecond, "it is back")

	require.NoError(t, server.RemovePod("server-a"))
	require.Eventually(t, c.Gone, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return len(c.Disowned()) == 1 }, 10*time.Second, time.Millisecond)
}

func inUTC(pods []Pod) []Pod {
	for i := range pods {
		pods[i].Created, pods[i].GraceEnds = pods[i].Created.UTC(), pods[i].GraceEnds.UTC()
	}
	return pods
}

func TestMemoryLimitIsThatWhichTheKubeletHasApplied(t *testing.T) {
	limit := func(text string) *corev1.ResourceRequirements {
		return &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(text)}}
	}
	for name, c := range map[string]struct {
		containers []corev1.ContainerStatus
		want       int64
	}{
		"applied":              {[]corev1.ContainerStatus{{Name: "redis", Resources: limit("700Mi")}}, 700 << 20},
		"beside another one":   {[]corev1.ContainerStatus{{Name: "mesh", Resources: limit("1Gi")}, {Name: "redis", Resources: limit("64Mi")}, {Name: "zip", Resources: limit("2Gi")}}, 64 << 20},
		"not told":             {[]corev1.ContainerStatus{{Name: "redis"}}, 0},
		"none":                 {[]corev1.ContainerStatus{{Name: "redis", Resources: &corev1.ResourceRequirements{}}}, 0},
		"of another container": {[]corev1.ContainerStatus{{Name: "sentinel", Resources: limit("200Mi")}}, 0},
		"no container yet":     {nil, 0},
	} {
		p := &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: c.containers}}
		// What is asked for is not applied yet.
		p.Spec.Containers = []corev1.Container{{Name: "redis", Resources: *limit("8Gi")}}
		require.Equal(t, c.want, podOf(p).MemoryLimit, name)
	}
}

func TestCacheKeepsOnlyWhatIsRead(t *testing.T) {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "x", ManagedFields: []metav1.ManagedFieldsEntry{{}}, Annotations: map[string]string{"a": "b"}},
		Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c"}}},
		Status: corev1.PodStatus{PodIP: "10.0.0.1", Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "redis", Image: "redis-ha", Resources: &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("700Mi")}},
		}}},
	}
	require.NotZero(t, podOf(p).MemoryLimit)
	kept, err := dropUnused(p)
	require.NoError(t, err)
	require.Equal(t, podOf(p), podOf(kept.(*corev1.Pod)))
	require.Empty(t, kept.(*corev1.Pod).Spec.Containers)
	require.Empty(t, kept.(*corev1.Pod).ManagedFields)
	require.Empty(t, kept.(*corev1.Pod).Status.ContainerStatuses[0].Image)
	tombstone := cache.DeletedFinalStateUnknown{Key: "x"}
	kept, err = dropUnused(tombstone)
	require.NoError(t, err)
	require.Equal(t, tombstone, kept)
}

func TestEventIsWrittenOnce(t *testing.T) {
	server := release(t)
	c := client(t, server, "sentinel-a")
	about := Pod{Name: "server-a", UID: "uid-server-a"}
	first, err := c.Event(t.Context(), "event-1", about, true, "SubjectivelyDown", "it is down")
	require.NoError(t, err)
	require.True(t, first)
	again, err := c.Event(t.Context(), "event-1", about, true, "SubjectivelyDown", "it is down")
	require.NoError(t, err)
	require.False(t, again)
	event := server.Events()[0]
	require.Equal(t, []string{"Pod", "server-a", "uid-server-a", corev1.EventTypeWarning, "SubjectivelyDown", "it is down", "sentinel-a"}, []string{
		event.InvolvedObject.Kind, event.InvolvedObject.Name, string(event.InvolvedObject.UID), event.Type, event.Reason, event.Message, event.ReportingInstance})
	server.Deny("", "create", "events")
	first, err = c.Event(t.Context(), "event-2", about, false, "MasterSwitched", "x")
	require.False(t, first)
	require.ErrorContains(t, err, `grant the verb "create" on "events"`)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	resource := schema.GroupResource{Resource: "pods"}
	cause := errors.New("cause")
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"forbidden": {apierrors.NewForbidden(resource, "x", cause),
			`patch pods is forbidden: grant the verb "patch" on "pods" to the pod's service account (the chart does with rbac.create=true): `},
		"refused by an admission policy": {apierrors.NewForbidden(resource, "x", errors.New("ValidatingAdmissionPolicy 'p' with binding 'p' denied request: spec: no")),
			`patch pods: an admission policy of the cluster refuses it; see "Rights and users" in docs/operations.md: `},
		"unauthorized": {apierrors.NewUnauthorized("x"), "patch pods: the service account token was refused; recreate the pod if it stays so: "},
		"not found":    {apierrors.NewNotFound(resource, "x"), "patch pods: not there (the chart creates it; run helm upgrade if it was deleted): "},
		"conflict":     {apierrors.NewConflict(resource, "x", cause), "patch pods: Operation cannot be fulfilled"},
		"canceled":     {context.Canceled, "patch pods: context canceled"},
		"timeout":      {context.DeadlineExceeded, "patch pods: the API server cannot be reached or did not answer in time; check the network"},
		"anything":     {cause, "patch pods: the API server cannot be reached or did not answer in time; check the network"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Explain(c.err, "patch", "pods")
			require.ErrorIs(t, got, c.err)
			require.True(t, strings.HasPrefix(got.Error(), c.want), got.Error())
		})
	}
	require.NoError(t, Explain(nil, "patch", "pods"))
}

func TestUnreachableAPIIsLoggedOnceAndSoIsItsReturn(t *testing.T) {
	server := release(t)
	var logged logbook
	c, line := clientAndLine(t, server, "server-a", slog.New(slog.NewTextHandler(&logged, nil)))
	require.NoError(t, line.Cut())
	began := time.Now()
	_, err := c.LivePods(t.Context())
	require.ErrorContains(t, err, "the API server cannot be reached")
	require.Less(t, time.Since(began), 2*callTimeout)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.Run(ctx)
	require.Eventually(t, func() bool { return strings.Contains(logged.String(), "does not serve the pod list") }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, line.Mend())
	require.Eventually(t, c.Synced, 20*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool { return strings.Contains(logged.String(), "serves the pod list again") }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, 1, strings.Count(logged.String(), "does not serve the pod list"))
}

func TestMissingServiceAccountIsExplained(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	_, err := New(config.Config{}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "check the volume at /var/run/secrets/kubernetes.io/serviceaccount")
}
