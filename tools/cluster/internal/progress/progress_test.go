package progress

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestElapsed(t *testing.T) {
	assert.Equal(t, "0.4s", Elapsed(400*time.Millisecond))
	assert.Equal(t, "42.0s", Elapsed(42*time.Second))
	assert.Equal(t, "3m07s", Elapsed(187*time.Second))
}

func TestStepReportsBothEnds(t *testing.T) {
	var out bytes.Buffer
	report := New(&out)
	assert.NoError(t, report.Step("Build it", func() error { return nil }))
	broken := errors.New("broken")
	assert.ErrorIs(t, report.Step("Load it", func() error { return broken }), broken)
	assert.Contains(t, out.String(), "Build it ...")
	assert.Contains(t, out.String(), "Build it: done in 0.0s")
	assert.Contains(t, out.String(), "Load it: failed after 0.0s")
}
