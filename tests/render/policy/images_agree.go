package policy

// ImagesAgree is about launchers that talk to each other.
var ImagesAgree = Rule{
	ID:        "images-agree",
	Title:     "Servers, sentinels and the Helm test run the same image",
	Why:       "The launchers read each other's record and status, and are tested only with their own version.",
	Fix:       "Take the image of every container from redis_image.",
	Reference: "docs/operations.md",
	Check: func(r *Release) (result Result) {
		containers := r.Containers()
		for _, c := range containers {
			result.check(c.Image == containers[0].Image, c.Pod.Owner, c.Path+".image", "is %q, elsewhere %q", c.Image, containers[0].Image)
		}
		return result
	},
	Mutants: []Mutant{
		{Name: "another version", Change: func(r *Release) { r.redis().Image = "redis-ha:7.0.0-r1" }},
	},
}
