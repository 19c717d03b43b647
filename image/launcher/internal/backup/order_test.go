package backup

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
)

// A Job whose pod has failed makes another one.
func TestJobRestoresOnce(t *testing.T) {
	now := time.Now()
	last := kube.Ordered{By: "restore-abcde", At: now.Add(-time.Minute)}
	require.ErrorContains(t, orderedBy(last, "restore-fghij", now), "pod restore-abcde of this Job has begun to restore already")
	require.NoError(t, orderedBy(last, "restore-abcde", now), "it has not")
	require.NoError(t, orderedBy(last, "restore-again-abcde", now), "another Job")
	require.NoError(t, orderedBy(last, "restore-fghij", now.Add(jobTime)), "that Job has ended long ago")
	require.NoError(t, orderedBy(kube.Ordered{}, "restore-fghij", now))
	require.NoError(t, orderedBy(kube.Ordered{By: "other", At: now}, "pod", now), "pods without a Job")
}
