package fakeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// filter is the selection of a list or a watch.
type filter struct {
	labels labels.Selector
	fields fields.Selector
}

func (f filter) matches(object Object) bool {
	return object != nil && f.labels.Matches(labels.Set(object.GetLabels())) &&
		f.fields.Matches(fields.Set{"metadata.name": object.GetName(), "metadata.namespace": object.GetNamespace()})
}

func parseFilter(r *http.Request) (filter, error) {
	query := r.URL.Query()
	byLabel, err := labels.Parse(query.Get("labelSelector"))
	if err != nil {
		return filter{}, apierrors.NewBadRequest("unable to parse labelSelector: " + err.Error())
	}
	byField, err := fields.ParseSelector(query.Get("fieldSelector"))
	if err != nil {
		return filter{}, apierrors.NewBadRequest("unable to parse fieldSelector: " + err.Error())
	}
	for _, requirement := range byField.Requirements() {
		if requirement.Field != "metadata.name" && requirement.Field != "metadata.namespace" {
			return filter{}, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", requirement.Field))
		}
	}
	return filter{byLabel, byField}, nil
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, c call) error {
	selection, err := parseFilter(r)
	if err != nil {
		return err
	}
	objects, revision := s.store.list(c.kind)
	items := []Object{}
	for _, object := range objects {
		if selection.matches(object) {
			items = append(items, object)
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"kind": c.kind.gvk.Kind + "List", "apiVersion": c.kind.gvk.GroupVersion().String(),
		"metadata": metav1.ListMeta{ResourceVersion: strconv.FormatInt(revision, 10)}, "items": items,
	})
	return nil
}

// watch streams the changes after a revision. Without a revision, and for a
// watch-list (sendInitialEvents), the present state comes first.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, c call) error {
	selection, err := parseFilter(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	initial := truthy(r, "sendInitialEvents")
	if initial && query.Get("resourceVersionMatch") != string(metav1.ResourceVersionMatchNotOlderThan) {
		return unprocessable("resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
	}
	from := query.Get("resourceVersion")
	var revision int64
	if from != "" && from != "0" && !initial {
		if revision, err = strconv.ParseInt(from, 10, 64); err != nil {
			return apierrors.NewBadRequest("resourceVersion: " + err.Error())
		}
	}
	var deadline <-chan time.Time
	if seconds, err := strconv.Atoi(query.Get("timeoutSeconds")); err == nil && seconds > 0 {
		deadline = time.After(time.Duration(seconds) * time.Second)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	stream := &eventStream{encoder: json.NewEncoder(w), flusher: http.NewResponseController(w)}
	if revision == 0 {
		objects, now := s.store.list(c.kind)
		revision = now
		for _, object := range objects {
			if selection.matches(object) {
				stream.send(watch.Added, object)
			}
		}
		if initial && truthy(r, "allowWatchBookmarks") {
			bookmark := c.kind.empty()
			bookmark.GetObjectKind().SetGroupVersionKind(c.kind.gvk)
			bookmark.SetResourceVersion(strconv.FormatInt(revision, 10))
			bookmark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
			stream.send(watch.Bookmark, bookmark)
		}
	}
	stream.flush()
	for stream.err == nil {
		changes, newest, changed, ok := s.store.since(c.kind, revision)
		if !ok {
			gone := apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d", revision)).Status()
			gone.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
			stream.send(watch.Error, &gone)
			stream.flush()
			return nil
		}
		for _, entry := range changes {
			stream.sendChange(selection, entry)
		}
		revision = newest
		stream.flush()
		select {
		case <-changed:
		case <-deadline:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
	return nil
}

// eventStream writes watch events until the first error.
type eventStream struct {
	encoder *json.Encoder
	flusher *http.ResponseController
	err     error
}

func (e *eventStream) send(kind watch.EventType, object runtime.Object) {
	if e.err == nil {
		e.err = e.encoder.Encode(map[string]any{"type": kind, "object": object})
	}
}

func (e *eventStream) flush() {
	if e.err == nil {
		e.err = e.flusher.Flush()
	}
}

// sendChange tells what a change means to somebody who sees only what the
// selection matches.
func (e *eventStream) sendChange(selection filter, entry change) {
	var was, is bool
	if entry.before != nil {
		was = selection.matches(entry.before)
	}
	if entry.after != nil {
		is = selection.matches(entry.after)
	}
	switch {
	case is && !was:
		e.send(watch.Added, entry.after)
	case is:
		e.send(watch.Modified, entry.after)
	case was:
		gone := entry.before
		if entry.after != nil {
			// The object left the selection: its old state with the new revision.
			gone = entry.before.DeepCopyObject().(Object)
			gone.SetResourceVersion(entry.after.GetResourceVersion())
		}
		e.send(watch.Deleted, gone)
	}
}
