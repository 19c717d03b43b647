package policy

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// A values file gives a port as a float, `--set` as a whole number.
func TestPortsOfTheAPIServerAreNeededWhateverTheirType(t *testing.T) {
	for _, port := range []any{float64(80), int64(80)} {
		values := render.Values{"networkPolicy": map[string]any{"enabled": true, "apiServerPorts": []any{port}}}
		r, err := NewRelease(values, render.KubeVersions[0])
		require.NoError(t, err)
		assert.Empty(t, Violations(&NetworkLetsNeededLinksThrough, r), "%T", port)
		r.networkPolicy().Egress[2].Ports[0].Port.IntVal = 81
		assert.NotEmpty(t, Violations(&NetworkLetsNeededLinksThrough, r), "%T, closed", port)
	}
}
