package policy

import (
	"regexp"
	"strings"
)

// ImageIsPinned wants a tag or a digest that somebody chose.
var ImageIsPinned = Rule{
	ID:        "image-is-pinned",
	Title:     "Every image has a digest, or a tag that does not float",
	Why:       "A pod that is replaced months later would run another version than its peers, in the middle of a failover.",
	Fix:       "Set redis_image to a version or a digest.",
	Reference: "https://kubernetes.io/docs/concepts/containers/images/#image-names",
	Check: func(r *Release) (result Result) {
		for _, c := range r.Containers() {
			tag := imageTag.FindStringSubmatch(c.Image)
			pinned := strings.Contains(c.Image, "@sha256:") || tag != nil && !floating[tag[1]]
			result.check(pinned, c.Pod.Owner, c.Path+".image", "%q is another image tomorrow", c.Image)
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "no tag", Change: func(r *Release) { r.redis().Image = "redis-ha" }},
		{Name: "a port is no tag", Change: func(r *Release) { r.redis().Image = "example.com:5000/redis-ha" }},
		{Name: "latest", Change: func(r *Release) { r.test().Spec.Containers[0].Image = "redis-ha:latest" }},
	},
}

var (
	imageTag = regexp.MustCompile(`:([A-Za-z0-9_][A-Za-z0-9_.-]*)$`)
	// floating are the tags that the chart refuses, too.
	floating = map[string]bool{
		"latest": true, "stable": true, "edge": true, "nightly": true, "canary": true, "snapshot": true, "main": true, "master": true, "head": true, "develop": true,
	}
)
