package fakeapi

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const bound = 20 * time.Second

// serve returns a server with one server pod and one sentinel pod, and the
// typed client of each.
func serve(t *testing.T) (*Server, *Client, kubernetes.Interface, kubernetes.Interface) {
	t.Helper()
	server := New("default")
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	for _, component := range []string{"server", "sentinel"} {
		require.NoError(t, server.CreatePod(PodTemplate{
			Name: component + "-a", UID: "uid-" + component, IP: "127.0.0.9", Created: time.Now(), Container: "redis",
			Labels: map[string]string{"app": "redis-ha", "component": component}}))
	}
	require.NoError(t, server.CreateLease("redis-ha-master"))
	connect := func(user string) (*Client, kubernetes.Interface) {
		client, err := server.Connect(user, "127.0.0.1:0")
		require.NoError(t, err)
		clientset, err := kubernetes.NewForConfig(&rest.Config{Host: client.URL(), QPS: 1000, Burst: 1000})
		require.NoError(t, err)
		return client, clientset
	}
	client, first := connect("server-a")
	_, second := connect("sentinel-a")
	return server, client, first, second
}

func patchPod(clientset kubernetes.Interface, name string, kind types.PatchType, patch string) error {
	_, err := clientset.CoreV1().Pods("default").Patch(context.Background(), name, kind, []byte(patch), metav1.PatchOptions{})
	return err
}

func TestOwnLabelsAreSetAndRemovedByEachKindOfPatch(t *testing.T) {
	server, _, own, _ := serve(t)
	for _, kind := range []types.PatchType{types.StrategicMergePatchType, types.MergePatchType} {
		require.NoError(t, patchPod(own, "server-a", kind, `{"metadata":{"labels":{"redis-role":"master","podIP":"127.0.0.9"}}}`))
		require.Equal(t, "master", server.Pod("server-a").Labels[RoleLabel])
		require.NoError(t, patchPod(own, "server-a", kind, `{"metadata":{"labels":{"redis-role":null}}}`))
		require.NotContains(t, server.Pod("server-a").Labels, RoleLabel)
	}
	require.NoError(t, patchPod(own, "server-a", types.JSONPatchType, `[{"op":"add","path":"/metadata/labels/redis-role","value":"slave"}]`))
	require.Equal(t, "slave", server.Pod("server-a").Labels[RoleLabel])
	require.Equal(t, "redis-ha", server.Pod("server-a").Labels["app"], "the other labels stay")
	require.Empty(t, server.Unexpected())
}

func TestPatchWithoutEffectKeepsTheResourceVersionButCountsAsWrite(t *testing.T) {
	server, _, own, _ := serve(t)
	begin := time.Now()
	require.NoError(t, patchPod(own, "server-a", types.MergePatchType, `{"metadata":{"labels":{"redis-role":"slave"}}}`))
	version := server.Pod("server-a").ResourceVersion
	require.NoError(t, patchPod(own, "server-a", types.MergePatchType, `{"metadata":{"labels":{"redis-role":"slave"}}}`))
	require.Equal(t, version, server.Pod("server-a").ResourceVersion)
	require.Len(t, server.Writes(begin), 2)
}

func TestPatchIsRefusedForAnotherUIDOrVersion(t *testing.T) {
	server, _, own, _ := serve(t)
	err := patchPod(own, "server-a", types.MergePatchType, `{"metadata":{"uid":"other","labels":{"redis-role":"master"}}}`)
	require.True(t, apierrors.IsInvalid(err) || statusCode(err) == 422, "%v", err)
	err = patchPod(own, "server-a", types.MergePatchType, `{"metadata":{"resourceVersion":"1","labels":{"redis-role":"master"}}}`)
	require.True(t, apierrors.IsConflict(err), "%v", err)
	err = patchPod(own, "server-a", types.MergePatchType, `{"metadata":{"labels":{"redis-role":"no spaces"}}}`)
	require.Equal(t, int32(422), statusCode(err), "%v", err)
	require.True(t, apierrors.IsNotFound(patchPod(own, "server-b", types.MergePatchType, `{}`)))
	require.NotContains(t, server.Pod("server-a").Labels, RoleLabel)
}

func TestSentinelTakesMasterOffAnotherPodOnlyWithTests(t *testing.T) {
	server, _, own, sentinel := serve(t)
	require.NoError(t, patchPod(own, "server-a", types.MergePatchType, `{"metadata":{"labels":{"redis-role":"master"}}}`))
	remove := func(uid, value string) string {
		return fmt.Sprintf(`[{"op":"test","path":"/metadata/uid","value":%q},{"op":"test","path":"/metadata/labels/redis-role","value":%q},{"op":"remove","path":"/metadata/labels/redis-role"}]`, uid, value)
	}
	require.Equal(t, int32(422), statusCode(patchPod(sentinel, "server-a", types.JSONPatchType, remove("other", "master"))))
	require.Equal(t, int32(422), statusCode(patchPod(sentinel, "server-a", types.JSONPatchType, remove("uid-server", "slave"))))
	require.Equal(t, "master", server.Pod("server-a").Labels[RoleLabel])
	require.Empty(t, server.Unexpected())
	require.NoError(t, patchPod(sentinel, "server-a", types.JSONPatchType, remove("uid-server", "master")))
	require.NotContains(t, server.Pod("server-a").Labels, RoleLabel)
	require.Empty(t, server.Unexpected())

	for _, patch := range []string{
		`[{"op":"add","path":"/metadata/labels/redis-role","value":"slave"}]`,
		`[{"op":"test","path":"/metadata/uid","value":"uid-server"},{"op":"add","path":"/metadata/labels/redis-role","value":"master"}]`,
	} {
		require.True(t, apierrors.IsForbidden(patchPod(sentinel, "server-a", types.JSONPatchType, patch)))
	}
	require.True(t, apierrors.IsForbidden(patchPod(own, "sentinel-a", types.MergePatchType, `{"metadata":{"labels":{"redis-role":"x"}}}`)))
	require.True(t, apierrors.IsForbidden(patchPod(own, "server-a", types.MergePatchType, `{"metadata":{"labels":{"app":"x"}}}`)))
	require.True(t, apierrors.IsForbidden(patchPod(own, "server-a", types.MergePatchType, `{"spec":{"nodeName":"x"}}`)))
	require.Len(t, server.Unexpected(), 5)
}

func TestLeaseUpdateNeedsTheVersionItWasReadAt(t *testing.T) {
	server, _, own, other := serve(t)
	first, err := own.CoordinationV1().Leases("default").Get(context.Background(), "redis-ha-master", metav1.GetOptions{})
	require.NoError(t, err)
	holder := "server-a"
	first.Spec.HolderIdentity = &holder
	_, err = own.CoordinationV1().Leases("default").Update(context.Background(), first, metav1.UpdateOptions{})
	require.NoError(t, err)
	_, err = other.CoordinationV1().Leases("default").Update(context.Background(), first, metav1.UpdateOptions{})
	require.True(t, apierrors.IsConflict(err), "%v", err)
	require.Equal(t, holder, *server.Lease("redis-ha-master").Spec.HolderIdentity)
	require.Empty(t, server.Unexpected())
}

func TestEventNameIsTakenOnce(t *testing.T) {
	server, _, own, _ := serve(t)
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "switch-1", Namespace: "default"}, Type: "Normal", Reason: "SwitchMaster", Message: "m",
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "server-a", Namespace: "default"}}
	_, err := own.CoreV1().Events("default").Create(context.Background(), event, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = own.CoreV1().Events("default").Create(context.Background(), event, metav1.CreateOptions{})
	require.True(t, apierrors.IsAlreadyExists(err), "%v", err)
	require.Len(t, server.Events(), 1)
	require.Empty(t, server.Unexpected())
}

func TestWatchSeesPodsEnterAndLeaveItsSelector(t *testing.T) {
	server, _, own, _ := serve(t)
	list, err := own.CoreV1().Pods("default").List(context.Background(), metav1.ListOptions{LabelSelector: "redis-role=master"})
	require.NoError(t, err)
	require.Empty(t, list.Items)
	watcher, err := own.CoreV1().Pods("default").Watch(context.Background(), metav1.ListOptions{LabelSelector: "redis-role=master", ResourceVersion: list.ResourceVersion})
	require.NoError(t, err)
	defer watcher.Stop()
	for _, patch := range []string{`{"metadata":{"labels":{"redis-role":"master"}}}`, `{"metadata":{"labels":{"runID":"abc"}}}`, `{"metadata":{"labels":{"redis-role":"slave"}}}`} {
		require.NoError(t, patchPod(own, "server-a", types.MergePatchType, patch))
	}
	for _, want := range []watch.EventType{watch.Added, watch.Modified, watch.Deleted} {
		event := next(t, watcher)
		require.Equal(t, want, event.Type)
		require.Equal(t, "server-a", event.Object.(*corev1.Pod).Name)
	}
	require.Empty(t, server.Unexpected())
}

func TestWatchFromForgottenVersionEndsWithExpired(t *testing.T) {
	server, _, own, _ := serve(t)
	require.NoError(t, server.UpdatePod("server-a", func(pod *corev1.Pod) { pod.Status.Message = "x" }))
	server.Compact()
	watcher, err := own.CoreV1().Pods("default").Watch(context.Background(), metav1.ListOptions{ResourceVersion: "2"})
	require.NoError(t, err)
	defer watcher.Stop()
	event := next(t, watcher)
	require.Equal(t, watch.Error, event.Type)
	require.True(t, apierrors.IsResourceExpired(apierrors.FromObject(event.Object)))
}

func TestInformerFollowsPodsThroughAnOutage(t *testing.T) {
	server, client, own, _ := serve(t)
	factory := informers.NewSharedInformerFactoryWithOptions(own, 0, informers.WithNamespace("default"),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "app=redis-ha" }))
	lister := factory.Core().V1().Pods().Lister().Pods("default")
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop); factory.Shutdown() })
	factory.Core().V1().Pods().Informer()
	factory.Start(stop)
	require.True(t, cache.WaitForCacheSync(stop, factory.Core().V1().Pods().Informer().HasSynced))
	pod, err := lister.Get("server-a")
	require.NoError(t, err)
	require.Equal(t, types.UID("uid-server"), pod.UID)

	require.NoError(t, client.Cut())
	require.NoError(t, server.UpdatePod("server-a", func(pod *corev1.Pod) { pod.Labels[RoleLabel] = "slave" }))
	server.Compact()
	require.NoError(t, server.RemovePod("sentinel-a"))
	require.NoError(t, client.Mend())
	require.Eventually(t, func() bool {
		pod, err := lister.Get("server-a")
		_, gone := lister.Get("sentinel-a")
		return err == nil && pod.Labels[RoleLabel] == "slave" && apierrors.IsNotFound(gone)
	}, bound, 10*time.Millisecond)
	require.Empty(t, server.Unexpected())
	require.Empty(t, server.Writes(time.Time{}))
}

func TestFieldSelectorFindsOnePod(t *testing.T) {
	_, _, own, _ := serve(t)
	list, err := own.CoreV1().Pods("default").List(context.Background(), metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", "server-a").String()})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
}

func TestFaultsRefuseDelayAndForbid(t *testing.T) {
	server, client, own, other := serve(t)
	get := func(clientset kubernetes.Interface) error {
		_, err := clientset.CoreV1().Pods("default").Get(context.Background(), "server-a", metav1.GetOptions{})
		return err
	}
	require.NoError(t, client.Cut())
	require.ErrorContains(t, get(own), "connection refused")
	require.NoError(t, get(other))
	require.NoError(t, client.Mend())
	require.NoError(t, get(own))
	require.NoError(t, server.Stop())
	require.ErrorContains(t, get(other), "connection refused")
	require.NoError(t, server.Start())
	server.Deny("server-a", "get", "pods")
	require.ErrorContains(t, get(own), `cannot get resource "pods" in API group "" in the namespace "default"`)
	require.NoError(t, get(other))
	server.Allow("server-a", "get", "pods")
	server.SetLatency(50 * time.Millisecond)
	begin := time.Now()
	require.NoError(t, get(own))
	require.GreaterOrEqual(t, time.Since(begin), 50*time.Millisecond)
	require.Empty(t, server.Unexpected())
}

func TestWhatTheRoleDoesNotGrantIsRefusedAndRemembered(t *testing.T) {
	server, _, own, _ := serve(t)
	err := own.CoreV1().Pods("default").Delete(context.Background(), "server-a", metav1.DeleteOptions{})
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	_, err = own.CoordinationV1().Leases("default").List(context.Background(), metav1.ListOptions{})
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	_, err = own.CoreV1().Secrets("default").List(context.Background(), metav1.ListOptions{})
	require.True(t, apierrors.IsNotFound(err), "%v", err)
	_, err = own.CoreV1().Pods("other").List(context.Background(), metav1.ListOptions{})
	require.Error(t, err)
	require.Len(t, server.Unexpected(), 4)
}

func next(t *testing.T, watcher watch.Interface) watch.Event {
	t.Helper()
	select {
	case event, open := <-watcher.ResultChan():
		require.True(t, open, "the watch ended")
		return event
	case <-time.After(bound):
		require.FailNow(t, "no watch event")
		return watch.Event{}
	}
}

func statusCode(err error) int32 {
	if status, ok := err.(apierrors.APIStatus); ok {
		return status.Status().Code
	}
	return 0
}
