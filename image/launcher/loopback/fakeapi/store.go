package fakeapi

import (
	"encoding/json"
	"sort"
	"strconv"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// Object is what the store holds: a typed API object.
type Object interface {
	metav1.Object
	runtime.Object
}

// kind describes one of the resources the server knows.
type kind struct {
	resource schema.GroupVersionResource
	gvk      schema.GroupVersionKind
	empty    func() Object
}

var (
	pods = &kind{
		resource: corev1.SchemeGroupVersion.WithResource("pods"),
		gvk:      corev1.SchemeGroupVersion.WithKind("Pod"),
		empty:    func() Object { return &corev1.Pod{} },
	}
	leases = &kind{
		resource: coordinationv1.SchemeGroupVersion.WithResource("leases"),
		gvk:      coordinationv1.SchemeGroupVersion.WithKind("Lease"),
		empty:    func() Object { return &coordinationv1.Lease{} },
	}
	events = &kind{
		resource: corev1.SchemeGroupVersion.WithResource("events"),
		gvk:      corev1.SchemeGroupVersion.WithKind("Event"),
		empty:    func() Object { return &corev1.Event{} },
	}
)

// change is one entry of the history that watches replay. A nil before is a
// creation, a nil after a removal.
type change struct {
	revision      int64
	at            time.Time
	by            string
	before, after Object
}

// table holds the objects of one kind and what happened to them.
type table struct {
	objects   map[string]Object
	history   []change
	compacted int64 // changes up to this revision are forgotten
}

// store is the state of one namespace. Objects in it are never modified in
// place, so handing out a pointer and copying it later is safe.
type store struct {
	mu       sync.Mutex
	revision int64
	tables   map[*kind]*table
	changed  chan struct{} // closed and replaced by every change
}

func newStore() *store {
	s := &store{revision: 1, tables: map[*kind]*table{}, changed: make(chan struct{})}
	for _, k := range []*kind{pods, leases, events} {
		s.tables[k] = &table{objects: map[string]Object{}}
	}
	return s
}

// record appends to the history; the caller holds the lock.
func (s *store) record(k *kind, by string, before, after Object) {
	s.revision++
	subject := after
	if subject == nil {
		// A removal is seen by watches as the last state with a new revision.
		subject = before.DeepCopyObject().(Object)
		before = subject
	}
	subject.SetResourceVersion(strconv.FormatInt(s.revision, 10))
	t := s.tables[k]
	t.history = append(t.history, change{revision: s.revision, at: time.Now(), by: by, before: before, after: after})
	close(s.changed)
	s.changed = make(chan struct{})
}

// create stores a new object; false means that the name is taken.
func (s *store) create(k *kind, by string, object Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[k]
	if _, taken := t.objects[object.GetName()]; taken {
		return false
	}
	object = object.DeepCopyObject().(Object)
	object.GetObjectKind().SetGroupVersionKind(k.gvk)
	if object.GetUID() == "" {
		object.SetUID(uuid.NewUUID())
	}
	if object.GetCreationTimestamp().Time.IsZero() {
		object.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
	}
	s.record(k, by, nil, object)
	t.objects[object.GetName()] = object
	return true
}

// get returns a copy of one object, or nil.
func (s *store) get(k *kind, name string) Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	object, ok := s.tables[k].objects[name]
	if !ok {
		return nil
	}
	return object.DeepCopyObject().(Object)
}

// update applies edit to a copy of the object under the lock and stores the
// result. A result equal to what is there changes no revision, as in the real
// server. An unknown name gives a nil object and no error.
func (s *store) update(k *kind, by, name string, edit func(Object) (Object, error)) (Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[k]
	before, ok := t.objects[name]
	if !ok {
		return nil, nil
	}
	after, err := edit(before.DeepCopyObject().(Object))
	if err != nil {
		return nil, err
	}
	after.GetObjectKind().SetGroupVersionKind(k.gvk)
	after.SetResourceVersion(before.GetResourceVersion())
	if same(before, after) {
		return after, nil
	}
	s.record(k, by, before, after)
	t.objects[name] = after
	return after.DeepCopyObject().(Object), nil
}

// remove deletes the object; false means that there is none.
func (s *store) remove(k *kind, by, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[k]
	before, ok := t.objects[name]
	if !ok {
		return false
	}
	delete(t.objects, name)
	s.record(k, by, before, nil)
	return true
}

// list returns the objects in the order of their names and the revision the
// list is true for.
func (s *store) list(k *kind) ([]Object, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listLocked(k), s.revision
}

func (s *store) listLocked(k *kind) []Object {
	t := s.tables[k]
	result := make([]Object, 0, len(t.objects))
	for _, object := range t.objects {
		result = append(result, object)
	}
	sort.Slice(result, func(i, j int) bool { return result[i].GetName() < result[j].GetName() })
	return result
}

// since returns the changes after a revision, the newest revision, a channel
// that is closed by the next change, and false when the history no longer
// reaches back that far.
func (s *store) since(k *kind, revision int64) ([]change, int64, <-chan struct{}, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[k]
	if revision < t.compacted {
		return nil, s.revision, s.changed, false
	}
	first := sort.Search(len(t.history), func(i int) bool { return t.history[i].revision > revision })
	return t.history[first:len(t.history):len(t.history)], s.revision, s.changed, true
}

// compact forgets the history, so that watches from older revisions get 410.
func (s *store) compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		t.compacted = s.revision
	}
}

func same(a, b Object) bool {
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errLeft == nil && errRight == nil && string(left) == string(right)
}
