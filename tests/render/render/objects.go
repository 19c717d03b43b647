package render

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/yaml"
)

// Object is one rendered object of the chart.
type Object struct {
	Object interface {
		runtime.Object
		metav1.Object
	}
	YAML string // as the template printed it
	Hook bool   // made by `helm test`, not by an installation
}

// ID names the object as "Kind/name".
func (o Object) ID() string {
	return o.Object.GetObjectKind().GroupVersionKind().Kind + "/" + o.Object.GetName()
}

// Manifests is everything that one rendering gives, sorted by kind and name.
type Manifests struct {
	Objects           []Object
	Notes             string
	Chart, AppVersion string // of Chart.yaml
	Values            Values // of the user, merged over the chart's
}

// IDs lists the objects that are there.
func (m *Manifests) IDs() []string {
	ids := make([]string, 0, len(m.Objects))
	for _, o := range m.Objects {
		ids = append(ids, o.ID())
	}
	return ids
}

// PodTemplate is the part of a workload, or a pod, that becomes a pod.
type PodTemplate struct {
	Owner string // ID of the object it is in
	Meta  metav1.ObjectMeta
	Spec  corev1.PodSpec
}

// PodTemplates lists the pod templates of all workloads and the pods of hooks. The claims of a StatefulSet are among the volumes of its pods, as
// ephemeral volumes with the same template: each pod has its own claim in either case.
func (m *Manifests) PodTemplates() []PodTemplate {
	var templates []PodTemplate
	for _, o := range m.Objects {
		switch object := o.Object.(type) {
		case *appsv1.Deployment:
			templates = append(templates, PodTemplate{o.ID(), object.Spec.Template.ObjectMeta, object.Spec.Template.Spec})
		case *appsv1.StatefulSet:
			spec := object.Spec.Template.Spec
			spec.Volumes = append(slices.Clone(spec.Volumes), claimed(object.Spec.VolumeClaimTemplates)...)
			templates = append(templates, PodTemplate{o.ID(), object.Spec.Template.ObjectMeta, spec})
		case *batchv1.CronJob:
			template := object.Spec.JobTemplate.Spec.Template
			templates = append(templates, PodTemplate{o.ID(), template.ObjectMeta, template.Spec})
		case *corev1.Pod:
			templates = append(templates, PodTemplate{o.ID(), object.ObjectMeta, object.Spec})
		}
	}
	return templates
}

// claimed gives the volumes that a StatefulSet adds to each of its pods.
func claimed(claims []corev1.PersistentVolumeClaim) []corev1.Volume {
	var volumes []corev1.Volume
	for _, c := range claims {
		template := &corev1.PersistentVolumeClaimTemplate{ObjectMeta: metav1.ObjectMeta{Labels: c.Labels}, Spec: c.Spec}
		volumes = append(volumes, corev1.Volume{
			Name: c.Name, VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: template}},
		})
	}
	return volumes
}

// All lists the objects of a type.
func All[O runtime.Object](m *Manifests) []O {
	var found []O
	for _, o := range m.Objects {
		if object, ok := o.Object.(O); ok {
			found = append(found, object)
		}
	}
	return found
}

// One is the object of a type and name; the test fails if it is missing.
func One[O interface {
	runtime.Object
	metav1.Object
}](t T, m *Manifests, name string) O {
	t.Helper()
	for _, object := range All[O](m) {
		if object.GetName() == name {
			return object
		}
	}
	var none O
	t.Fatalf("no %s %q is rendered; there are:\n  %s", kindOf(none), name, strings.Join(m.IDs(), "\n  "))
	return none
}

// None fails the test if an object of the type is rendered.
func None[O runtime.Object](t T, m *Manifests) {
	t.Helper()
	if found := All[O](m); len(found) > 0 {
		var none O
		t.Fatalf("%d objects of kind %s are rendered, want none; there are:\n  %s", len(found), kindOf(none), strings.Join(m.IDs(), "\n  "))
	}
}

func kindOf(object any) string { return reflect.TypeOf(object).Elem().Name() }

// decodeFiles decodes what the templates gave, by their paths, for the values that they got.
func decodeFiles(loaded *chart.Chart, input chartutil.Values, files map[string]string) (*Manifests, error) {
	values, err := input.Table("Values")
	if err != nil {
		return nil, fmt.Errorf("find the merged values: %w", err)
	}
	m := &Manifests{Chart: loaded.Name(), AppVersion: loaded.AppVersion(), Values: Values(values)}
	for name, content := range files {
		switch {
		case name == path.Join(loaded.Name(), "templates", "NOTES.txt"):
			m.Notes = content
		case path.Base(name) != "NOTES.txt":
			if err := m.add(content); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	sort.Slice(m.Objects, func(i, j int) bool { return m.Objects[i].ID() < m.Objects[j].ID() })
	return m, nil
}

// add decodes the documents of a file, separated as Helm does it.
func (m *Manifests) add(content string) error {
	for document := range strings.SplitSeq("\n"+content, "\n---") {
		document = strings.TrimSpace(document)
		if document == "" {
			continue
		}
		o, err := decode(document + "\n")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, document)
		}
		_, o.Hook = o.Object.GetAnnotations()[release.HookAnnotation]
		m.Objects = append(m.Objects, o)
	}
	return nil
}

// strict refuses unknown fields, also those that differ only in case, which other decoders accept.
var strict = json.NewSerializerWithOptions(json.DefaultMetaFactory, kinds, kinds, json.SerializerOptions{Strict: true})

// decode reads one object, strictly at both levels: no key twice in the YAML, no unknown field in the object.
func decode(document string) (Object, error) {
	encoded, err := yaml.YAMLToJSONStrict([]byte(document))
	if err != nil {
		return Object{}, fmt.Errorf("read a rendered document as YAML: %w", err)
	}
	decoded, _, err := strict.Decode(encoded, nil, nil)
	if err != nil {
		return Object{}, fmt.Errorf("decode a rendered document as a Kubernetes object: %w", err)
	}
	object, ok := decoded.(interface {
		runtime.Object
		metav1.Object
	})
	if !ok {
		return Object{}, fmt.Errorf("decode a rendered document: %T has no metadata", decoded)
	}
	return Object{Object: object, YAML: document}, nil
}

// Clone is a copy whose objects may be changed.
func (m *Manifests) Clone() *Manifests {
	clone := *m
	clone.Objects = make([]Object, len(m.Objects))
	for i, o := range m.Objects {
		clone.Objects[i] = o
		clone.Objects[i].Object = o.Object.DeepCopyObject().(interface {
			runtime.Object
			metav1.Object
		})
	}
	return &clone
}
