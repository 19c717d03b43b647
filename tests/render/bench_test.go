package chart_test

import (
	"testing"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

func BenchmarkRender(b *testing.B) {
	for b.Loop() {
		render.Chart(b, nil)
	}
}
