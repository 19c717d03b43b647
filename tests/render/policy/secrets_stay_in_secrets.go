package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// SecretsStayInSecrets compares what two passwords leave outside of Secrets, which must be the same, and looks for variables that
// should come from one. Looking for the password itself would find one that is a word of the chart, and miss a sum of it.
var SecretsStayInSecrets = Rule{
	ID:        "secrets-stay-in-secrets",
	Title:     "Nothing secret is outside a Secret",
	Why:       "Whoever may read Deployments, ConfigMaps or the output of helm status is not meant to know the password; neither plain, nor encoded, nor as a sum that can be tried out.",
	Fix:       "Take the value from a Secret with secretKeyRef, and leave it out of names, annotations and notes.",
	Reference: "https://kubernetes.io/docs/concepts/configuration/secret/",
	Check: func(r *Release) (result Result) {
		rekeyed := map[string]render.Object{}
		for _, o := range r.Rekeyed.Objects {
			rekeyed[o.ID()] = o
		}
		for _, o := range r.Objects {
			if _, ok := o.Object.(*corev1.Secret); !ok {
				result.check(equality.Semantic.DeepEqual(o.Object, rekeyed[o.ID()].Object), o.ID(), "", "tells one password from another")
			}
		}
		result.check(r.Notes == r.Rekeyed.Notes, "NOTES.txt", "", "tell one password from another")
		for _, c := range r.Containers() {
			for _, e := range c.Env {
				result.check(e.Value == "" || !secretName.MatchString(e.Name), c.Pod.Owner, c.Path+".env["+e.Name+"].value", "is readable by whoever may read the object")
			}
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "a literal password", Change: func(r *Release) { setEnv(r.redis(), "REDIS_PASS", "hunter22") }},
		{Name: "an annotation", Values: withPassword, Change: func(r *Release) {
			r.server().Spec.Template.Annotations["note"] = "use hunter22-of-the-mutant"
		}},
		{Name: "an encoded annotation", Values: withPassword, Change: func(r *Release) {
			r.service("").Annotations = map[string]string{"note": base64.StdEncoding.EncodeToString([]byte("hunter22-of-the-mutant"))}
		}},
		{Name: "a checksum", Values: withPassword, Change: func(r *Release) {
			sum := sha256.Sum256([]byte("hunter22-of-the-mutant"))
			r.server().Spec.Template.Annotations["checksum/secret"] = hex.EncodeToString(sum[:])
		}},
		{Name: "the notes", Values: withPassword, Change: func(r *Release) { r.Notes += "hunter22-of-the-mutant" }},
	},
}

const withPassword = "{auth: true, redisPassword: hunter22-of-the-mutant}"

// secretName is a variable whose value nobody should see.
var secretName = regexp.MustCompile(`(?i)(pass(word)?|secret|token|credential|private_?key)$`)
