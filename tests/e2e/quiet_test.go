package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// quietTime is how long a release that has nothing to do is watched.
const quietTime = 20 * time.Second

// A launcher that writes what is written already would load the API server of
// everybody.
func TestQuietReleaseWritesNothingToTheAPI(t *testing.T) {
	r := documentedRelease(t)
	before, err := r.versions(t.Context())
	require.NoError(t, err)
	require.Len(t, before, r.servers+r.sentinels+2, "pods and Leases")
	during(t, quietTime, "nobody writes", func(ctx context.Context) error {
		after, err := r.versions(ctx)
		if err != nil {
			return err
		}
		for name, version := range after {
			if before[name] != version {
				return fmt.Errorf("%s was written (version %s, then %s)", name, before[name], version)
			}
		}
		return nil
	})
}

// versions lists what launchers may write, with the version of each.
func (r *release) versions(ctx context.Context) (map[string]string, error) {
	found := map[string]string{}
	pods, err := env.Kube.CoreV1().Pods(r.namespace).List(ctx, r.listOptions())
	if err != nil {
		return nil, fmt.Errorf("list the pods: %w", err)
	}
	for _, pod := range pods.Items {
		found["pod "+pod.Name] = pod.ResourceVersion
	}
	leases, err := env.Kube.CoordinationV1().Leases(r.namespace).List(ctx, metav1.ListOptions{LabelSelector: "release=" + r.name})
	if err != nil {
		return nil, fmt.Errorf("list the Leases: %w", err)
	}
	for _, lease := range leases.Items {
		found["lease "+lease.Name] = lease.ResourceVersion
	}
	return found, nil
}
