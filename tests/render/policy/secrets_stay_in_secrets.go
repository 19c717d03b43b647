package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// SecretsStayInSecrets looks for what is in Secrets everywhere else, and for variables that should come from one.
var SecretsStayInSecrets = Rule{
	ID:        "secrets-stay-in-secrets",
	Title:     "Nothing secret is outside a Secret",
	Why:       "Whoever may read Deployments, ConfigMaps or the output of helm status is not meant to know the password; neither plain, nor encoded, nor as a sum that can be tried out.",
	Fix:       "Take the value from a Secret with secretKeyRef, and leave it out of names, annotations and notes.",
	Reference: "https://kubernetes.io/docs/concepts/configuration/secret/",
	Check: func(r *Release) (result Result) {
		var traces []string
		for _, secret := range render.All[*corev1.Secret](r.Manifests) {
			for _, data := range secret.Data {
				traces = append(traces, tracesOf(data)...)
			}
		}
		for _, o := range r.Objects {
			if _, ok := o.Object.(*corev1.Secret); ok {
				continue
			}
			encoded, err := json.Marshal(o.Object)
			text := string(encoded)
			result.check(err == nil && !containsAny(text, traces), o.ID(), "", "contains what is in a Secret")
		}
		result.check(!containsAny(r.Notes, traces), "NOTES.txt", "", "contains what is in a Secret")
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

// tracesOf are the forms of a secret that are looked for. A short one, such as "true", would be found everywhere.
func tracesOf(secret []byte) []string {
	if len(secret) < 6 {
		return nil
	}
	sum := sha256.Sum256(secret)
	quoted, err := json.Marshal(string(secret))
	if err != nil {
		return nil
	}
	return []string{strings.Trim(string(quoted), `"`), string(secret), base64.StdEncoding.EncodeToString(secret), hex.EncodeToString(sum[:])}
}

func containsAny(text string, traces []string) bool {
	for _, trace := range traces {
		if strings.Contains(text, trace) {
			return true
		}
	}
	return false
}
