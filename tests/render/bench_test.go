package chart_test

import (
	"testing"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// One rendering: loading, schema, templates, and strict decoding of every object. Less than 10 ms are wanted.
func BenchmarkRender(b *testing.B) {
	for b.Loop() {
		render.Chart(b, nil)
	}
}
