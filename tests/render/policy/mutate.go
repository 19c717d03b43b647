package policy

import (
	"fmt"
	"regexp"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// must is the T of what has to be there: objects that a mutant changes, values files of the chart.
type must struct{}

func (must) Helper() {}
func (must) Fatalf(format string, arguments ...any) {
	panic(fmt.Sprintf(format, arguments...))
}

// server is the Deployment of the servers.
func (r *Release) server() *appsv1.Deployment {
	return render.One[*appsv1.Deployment](must{}, r.Manifests, render.Fullname+"-server")
}

// sentinel is the Deployment of the sentinels.
func (r *Release) sentinel() *appsv1.Deployment {
	return render.One[*appsv1.Deployment](must{}, r.Manifests, render.Fullname+"-sentinel")
}

// redis is the container of the servers.
func (r *Release) redis() *corev1.Container { return &r.server().Spec.Template.Spec.Containers[0] }

// test is the pod of the Helm test.
func (r *Release) test() *corev1.Pod {
	return render.One[*corev1.Pod](must{}, r.Manifests, render.Fullname+"-test")
}

// service is the Service with a suffix.
func (r *Release) service(suffix string) *corev1.Service {
	return render.One[*corev1.Service](must{}, r.Manifests, render.Fullname+suffix)
}

// first is the first object of a type.
func first[O runtime.Object](r *Release) O { return render.All[O](r.Manifests)[0] }

// remove takes an object out of the rendering.
func (r *Release) remove(id string) {
	r.Objects = slices.DeleteFunc(r.Objects, func(o render.Object) bool { return o.ID() == id })
}

// setEnv sets a literal variable of a container.
func setEnv(c *corev1.Container, name, value string) {
	for i := range c.Env {
		if c.Env[i].Name == name {
			c.Env[i] = corev1.EnvVar{Name: name, Value: value}
			return
		}
	}
	c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
}

// setSetting changes a variable of the settings file.
func (r *Release) setSetting(name, value string) {
	m := first[*corev1.ConfigMap](r)
	m.Data["settings"] = regexp.MustCompile("(?m)^"+name+"=.*$").ReplaceAllString(m.Data["settings"], name+"="+value)
}

// at is a pointer to a value.
func at[V any](v V) *V { return &v }
