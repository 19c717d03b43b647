package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestUninstallLeavesNothing(t *testing.T) {
	r := documentedRelease(t)
	before, err := r.objects(t.Context())
	require.NoError(t, err)
	// 6 pods, 3 claims, 2 Leases, 4 Services with endpoints, and more.
	require.Greater(t, len(before), 20, "objects of the release: %v", before)
	if r.workload == "statefulset" {
		r.letVolumesGo(t)
	}
	r.uninstall(t)
	eventually(t, removalTime, "the volumes to be gone", func(ctx context.Context) error {
		volumes, err := env.Kube.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list the volumes: %w", err)
		}
		for _, volume := range volumes.Items {
			claim := volume.Spec.ClaimRef
			if claim != nil && claim.Namespace == r.namespace {
				return fmt.Errorf("the volume %s of claim %s is there", volume.Name, claim.Name)
			}
		}
		return nil
	})
}

// letVolumesGo has the volumes of a StatefulSet go with it, and waits until Kubernetes has noted that at each claim.
func (r *release) letVolumesGo(t *testing.T) {
	t.Helper()
	r.upgrade(t, "--set", "persistence.retention.whenDeleted=Delete")
	eventually(t, callTime, "the claims to belong to the StatefulSet", func(ctx context.Context) error {
		claims, err := r.claims(ctx)
		if err != nil {
			return err
		}
		for _, claim := range claims {
			if len(claim.OwnerReferences) == 0 {
				return fmt.Errorf("claim %s belongs to nobody", claim.Name)
			}
		}
		return nil
	})
}
