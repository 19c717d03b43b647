package policy

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// RenderingsAreEqual finds the order of maps, the time and random numbers in the output.
var RenderingsAreEqual = Rule{
	ID:        "renderings-are-equal",
	Title:     "Two renderings of the same values are equal, except for the data of a Secret with a random password",
	Why:       "What differs every time restarts pods with every upgrade, and is never in sync for tools that compare, such as Argo CD.",
	Fix:       "Sort what comes from a map, and leave time and random numbers out.",
	Reference: "charts/redis-ha/README.md",
	Check: func(r *Release) (result Result) {
		again := map[string]render.Object{}
		for _, o := range r.Again.Objects {
			again[o.ID()] = o
		}
		for _, o := range r.Objects {
			other, there := again[o.ID()]
			delete(again, o.ID())
			_, secret := o.Object.(*corev1.Secret)
			result.check(there && (o.YAML == other.YAML || secret), o.ID(), "", "differs in the next rendering")
		}
		for id := range again {
			result.check(false, id, "", "is there in the next rendering only")
		}
		result.check(r.Notes == r.Again.Notes, "NOTES.txt", "", "differ in the next rendering")
		return result
	},
	Mutants: []Mutant{
		{Name: "the time", Change: func(r *Release) { r.Again.Objects[0].YAML += "# 12:00" }},
		{Name: "a random name", Change: func(r *Release) { r.Again.Objects[0].Object.SetName("redis-x7k2p") }},
		{Name: "one more", Change: func(r *Release) { r.Objects = r.Objects[1:] }},
		{Name: "the notes", Change: func(r *Release) { r.Again.Notes += "12:00" }},
	},
}
