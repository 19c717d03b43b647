package fakeapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
)

// Server is a fake API server for one namespace.
type Server struct {
	Namespace string
	store     *store

	mu         sync.Mutex
	clients    []*Client
	down       bool
	latency    time.Duration
	denied     map[denial]bool
	requests   []Request
	unexpected []string
}

// Request is one answered call. A watch is recorded when it starts.
type Request struct {
	At       time.Time
	User     string // the pod whose launcher asked
	Verb     string // get, list, watch, create, update, patch
	Group    string // of the resource; empty for the core
	Resource string // pods, leases, events
	Name     string
	Code     int
}

// Write says if the request asks for a change.
func (r Request) Write() bool { return r.Verb == "create" || r.Verb == "update" || r.Verb == "patch" }

func (r Request) String() string {
	return fmt.Sprintf("%s %s %s/%s by %s: %d", r.At.Format("15:04:05.000"), r.Verb, r.Resource, r.Name, r.User, r.Code)
}

// New returns a server for an empty namespace. It answers nobody until Connect.
func New(namespace string) *Server {
	return &Server{Namespace: namespace, store: newStore(), denied: map[denial]bool{}}
}

// call is one request on its way through the server.
type call struct {
	user, verb, name string
	kind             *kind
}

// verbs are the rights of the launcher's Role.
var verbs = map[*kind]string{pods: "get list watch patch", leases: "get update", events: "create"}

// handler answers one launcher, known by the name of its pod.
func (s *Server) handler(user string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := s.parse(user, r)
		if !ok {
			s.complain("%s asked for %s %s, which no launcher needs", user, r.Method, r.URL)
			writeError(w, apierrors.NewNotFound(corev1.Resource("unknown"), r.URL.Path))
			return
		}
		if delay := s.currentLatency(); delay > 0 {
			select {
			case <-time.After(delay):
			case <-r.Context().Done():
				return
			}
		}
		recorder := &statusWriter{ResponseWriter: w, done: func(code int) { s.remember(c, code) }}
		if !strings.Contains(" "+verbs[c.kind]+" ", " "+c.verb+" ") {
			s.complain("%s has no right to %s %s %s", user, c.verb, c.kind.resource.Resource, c.name)
			writeError(recorder, s.forbidden(c))
			return
		}
		if s.isDenied(c) {
			writeError(recorder, s.forbidden(c))
			return
		}
		if err := s.serve(recorder, r, c); err != nil {
			writeError(recorder, err)
		}
	})
}

// parse reads the path /api/v1/namespaces/N/pods[/name] or its group twin.
func (s *Server) parse(user string, r *http.Request) (call, bool) {
	for _, k := range []*kind{pods, leases, events} {
		root := "/api/" + k.resource.Version
		if k.resource.Group != "" {
			root = "/apis/" + k.resource.Group + "/" + k.resource.Version
		}
		rest, ok := strings.CutPrefix(r.URL.Path, root+"/namespaces/"+s.Namespace+"/"+k.resource.Resource)
		if !ok || (rest != "" && rest[0] != '/') || strings.Count(rest, "/") > 1 {
			continue
		}
		c := call{user: user, kind: k, name: strings.TrimPrefix(rest, "/")}
		switch {
		case r.Method == http.MethodGet && c.name != "":
			c.verb = "get"
		case r.Method == http.MethodGet && truthy(r, "watch"):
			c.verb = "watch"
		case r.Method == http.MethodGet:
			c.verb = "list"
		case r.Method == http.MethodPost && c.name == "":
			c.verb = "create"
		case r.Method == http.MethodPut && c.name != "":
			c.verb = "update"
		case r.Method == http.MethodPatch && c.name != "":
			c.verb = "patch"
		case r.Method == http.MethodDelete:
			c.verb = "delete"
		default:
			return c, false
		}
		return c, true
	}
	return call{}, false
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, c call) error {
	switch c.verb {
	case "get":
		object := s.store.get(c.kind, c.name)
		if object == nil {
			return apierrors.NewNotFound(c.kind.resource.GroupResource(), c.name)
		}
		writeJSON(w, http.StatusOK, object)
		return nil
	case "list":
		return s.list(w, r, c)
	case "watch":
		return s.watch(w, r, c)
	case "create":
		return s.create(w, r, c)
	case "update":
		return s.update(w, r, c)
	default:
		return s.patch(w, r, c)
	}
}

func (s *Server) create(w http.ResponseWriter, r *http.Request, c call) error {
	object, err := decode(r, c.kind)
	if err != nil {
		return err
	}
	event := object.(*corev1.Event)
	if event.Name == "" && event.GenerateName != "" {
		event.Name = fmt.Sprintf("%s%x", event.GenerateName, time.Now().UnixNano())
	}
	if problems := validation.IsDNS1123Subdomain(event.Name); len(problems) > 0 {
		return unprocessable(fmt.Sprintf("metadata.name: %q: %s", event.Name, strings.Join(problems, "; ")))
	}
	if event.Namespace == "" {
		event.Namespace = s.Namespace
	}
	if event.Namespace != s.Namespace || event.InvolvedObject.Namespace != s.Namespace {
		return unprocessable("involvedObject.namespace: does not match event.namespace")
	}
	if event.Reason == "" || event.Message == "" || (event.Type != corev1.EventTypeNormal && event.Type != corev1.EventTypeWarning) {
		s.complain("%s created an event without reason, message or type: %+v", c.user, event)
	}
	if !s.store.create(c.kind, c.user, event) {
		return apierrors.NewAlreadyExists(c.kind.resource.GroupResource(), event.Name)
	}
	writeJSON(w, http.StatusCreated, s.store.get(c.kind, event.Name))
	return nil
}

func (s *Server) update(w http.ResponseWriter, r *http.Request, c call) error {
	object, err := decode(r, c.kind)
	if err != nil {
		return err
	}
	stored, err := s.store.update(c.kind, c.user, c.name, func(current Object) (Object, error) {
		if version := object.GetResourceVersion(); version == "" {
			s.complain("%s updated %s %s without a resource version", c.user, c.kind.resource.Resource, c.name)
			return nil, unprocessable("metadata.resourceVersion: Invalid value: 0x0: must be specified for an update")
		} else if version != current.GetResourceVersion() {
			return nil, apierrors.NewConflict(c.kind.resource.GroupResource(), c.name,
				fmt.Errorf("the object has been modified; please apply your changes to the latest version and try again"))
		}
		object.SetUID(current.GetUID())
		object.SetCreationTimestamp(current.GetCreationTimestamp())
		return object, nil
	})
	if err != nil {
		return err
	}
	if stored == nil {
		return apierrors.NewNotFound(c.kind.resource.GroupResource(), c.name)
	}
	writeJSON(w, http.StatusOK, stored)
	return nil
}

func (s *Server) patch(w http.ResponseWriter, r *http.Request, c call) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	patchType := types.PatchType(r.Header.Get("Content-Type"))
	var user *corev1.Pod
	if object := s.store.get(pods, c.user); object != nil {
		user = object.(*corev1.Pod)
	}
	stored, err := s.store.update(c.kind, c.user, c.name, func(current Object) (Object, error) {
		before := current.(*corev1.Pod)
		after, err := applyPatch(before, patchType, body)
		if err != nil {
			return nil, err
		}
		if problem := trespass(user, c.user, before, after, patchType, body); problem != "" {
			s.complain("the patch of pod %s by %s %s: %s", c.name, c.user, problem, body)
			return nil, s.forbidden(c)
		}
		return after, nil
	})
	if err != nil {
		return err
	}
	if stored == nil {
		return apierrors.NewNotFound(c.kind.resource.GroupResource(), c.name)
	}
	writeJSON(w, http.StatusOK, stored)
	return nil
}

// decode reads a request body in any encoding client-go may send.
func decode(r *http.Request, k *kind) (Object, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	object := k.empty()
	if _, _, err := clientscheme.Codecs.UniversalDeserializer().Decode(body, &k.gvk, object); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return object, nil
}

// forbidden is the answer of the real server's RBAC authoriser.
func (s *Server) forbidden(c call) error {
	return apierrors.NewForbidden(c.kind.resource.GroupResource(), c.name, fmt.Errorf(
		"User %q cannot %s resource %q in API group %q in the namespace %q",
		"system:serviceaccount:"+s.Namespace+":redis-ha-redis-ha", c.verb, c.kind.resource.Resource, c.kind.resource.Group, s.Namespace))
}

func truthy(r *http.Request, parameter string) bool {
	value := r.URL.Query().Get(parameter)
	return value == "true" || value == "1"
}

func writeJSON(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// An error here is a client that has gone away.
	_ = json.NewEncoder(w).Encode(value)
}

func writeError(w http.ResponseWriter, err error) {
	status, ok := err.(apierrors.APIStatus)
	if !ok {
		status = apierrors.NewInternalError(err)
	}
	answer := status.Status()
	answer.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	writeJSON(w, int(answer.Code), answer)
}

// statusWriter reports the code of the answer once.
type statusWriter struct {
	http.ResponseWriter
	done func(code int)
	once sync.Once
}

func (w *statusWriter) WriteHeader(code int) {
	w.once.Do(func() { w.done(code) })
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController flush.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
