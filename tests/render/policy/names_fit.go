package policy

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// NamesFit checks this release, and the longest one.
var NamesFit = Rule{
	ID:        "names-fit",
	Title:     "Names and labels are ones that Kubernetes takes, for the longest release name too",
	Why:       "A name above 63 characters is refused in the middle of an installation, after half of the objects were made.",
	Fix:       "Shorten fullnameOverride or the release name, or a suffix in the templates.",
	Reference: "https://kubernetes.io/docs/concepts/overview/working-with-objects/names/",
	Check: func(r *Release) (result Result) {
		for _, m := range append([]*render.Manifests{r.Manifests}, r.Long...) {
			for _, o := range m.Objects {
				for _, problem := range validName(o)(o.Object.GetName()) {
					result.find(o.ID(), "metadata.name", "%s", problem)
				}
				checkLabels(&result, o.ID(), "metadata", o.Object.GetLabels())
				result.Subjects++
			}
			for _, s := range render.All[*appsv1.StatefulSet](m) {
				result.check(len(s.Name)+len(revisionHash) <= validation.LabelValueMaxLength, "StatefulSet/"+s.Name, "metadata.name",
					"makes the label %s of its pods too long", appsv1.StatefulSetRevisionLabel)
			}
			for _, j := range render.All[*batchv1.CronJob](m) {
				result.check(len(j.Name) <= longestCronJob, "CronJob/"+j.Name, "metadata.name", "is longer than the names of its Jobs may be")
			}
			for _, p := range podsOf(m) {
				checkLabels(&result, p.Owner, p.MetaPath(), p.Meta.Labels)
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "too long", Change: func(r *Release) {
			r.Long[0].Objects[0].Object.SetName("x" + r.Long[0].Objects[0].Object.GetName() + "-with-more")
		}},
		{Name: "a StatefulSet with a long name", Values: withStatefulSet, Change: func(r *Release) { r.set().Name = strings.Repeat("x", 53) }},
		{Name: "a CronJob with a long name", Values: withBackup, Change: func(r *Release) { r.backup().Name = strings.Repeat("x", 53) }},
		{Name: "a capital", Change: func(r *Release) { r.service("").Name = "Redis" }},
		{Name: "a label", Change: func(r *Release) { r.server().Labels["chart"] = "redis-ha-0.1.0+build" }},
		{Name: "the key of a label", Change: func(r *Release) { r.server().Labels["a b"] = "c" }},
		{Name: "a label of a pod", Change: func(r *Release) { r.server().Spec.Template.Labels["name"] = "-" }},
		{Name: "an account", Change: func(r *Release) { first[*corev1.ServiceAccount](r).Name = "redis_ha" }},
	},
}

// revisionHash is as long as what Kubernetes puts behind the name of a StatefulSet in the label controller-revision-hash: "-" and a number of 32
// bits in decimal digits.
const revisionHash = "-4294967295"

// longestCronJob is the length of a name to which Kubernetes adds 11 characters for each Job.
const longestCronJob = 52

// validName is what Kubernetes asks of a name: a ServiceAccount's, which users may give, can have dots and begin with a digit. The name of an object of the
// cluster has a dot before the namespace.
// The other names begin with that of the release and are kept to the strictest kind, that of a Service.
func validName(o render.Object) func(string) []string {
	if _, account := o.Object.(*corev1.ServiceAccount); account || ofCluster(o) {
		return validation.IsDNS1123Subdomain
	}
	return validation.IsDNS1035Label
}

func checkLabels(result *Result, object, path string, labels map[string]string) {
	for key, value := range labels {
		for _, problem := range append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...) {
			result.find(object, path+".labels["+key+"]", "%s", problem)
		}
		result.Subjects++
	}
}
