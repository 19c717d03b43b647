package chart_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// Helm makes much garbage for each of some thousand renderings; collecting it less often takes a quarter off the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
