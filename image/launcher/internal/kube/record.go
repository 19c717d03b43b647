package kube

import (
	"context"
	"encoding/json"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/redis-ha/redis-ha/image/launcher/internal/record"
)

// recordAnnotation holds a Record or Slots as JSON on its Lease.
const recordAnnotation = "redis-ha/record"

// Slots says which sentinel pod holds which stable identity.
type Slots struct {
	Holders map[int]record.Member `json:"holders"`
	Cluster string                `json:"-"` // unique to this installation: the Lease's UID

	version string
}

// Record reads the record of the master.
func (k *Client) Record(ctx context.Context) (record.Record, error) {
	var r record.Record
	lease, err := k.readLease(ctx, k.config.MasterLease(), &r)
	if err != nil {
		return record.Record{}, err
	}
	r.Version = lease.ResourceVersion
	return r, nil
}

// WriteRecord replaces the record that was read before. It gives ErrChanged
// when somebody else has written since.
func (k *Client) WriteRecord(ctx context.Context, r record.Record) (record.Record, error) {
	version, err := k.writeLease(ctx, k.config.MasterLease(), r.Version, r, r.Master.Name, int32(r.Generation))
	if err != nil {
		return record.Record{}, err
	}
	r.Version = version
	return r, nil
}

// Slots reads the sentinels' identities.
func (k *Client) Slots(ctx context.Context) (Slots, error) {
	var s Slots
	lease, err := k.readLease(ctx, k.config.SentinelsLease(), &s)
	if err != nil {
		return Slots{}, err
	}
	if s.Holders == nil {
		s.Holders = map[int]record.Member{}
	}
	s.version, s.Cluster = lease.ResourceVersion, string(lease.UID)
	return s, nil
}

// WriteSlots replaces the slots that were read before. It gives ErrChanged
// when somebody else has written since.
func (k *Client) WriteSlots(ctx context.Context, s Slots) error {
	_, err := k.writeLease(ctx, k.config.SentinelsLease(), s.version, s, "", 0)
	return err
}

func (k *Client) readLease(ctx context.Context, name string, into any) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	lease, err := k.getLease(ctx, name)
	if err != nil {
		return nil, err
	}
	if content := lease.Annotations[recordAnnotation]; content != "" {
		if err := json.Unmarshal([]byte(content), into); err != nil {
			return nil, fmt.Errorf("read the annotation %s of lease %s (delete the annotation if it was edited by hand): %w",
				recordAnnotation, name, err)
		}
	}
	return lease, nil
}

func (k *Client) getLease(ctx context.Context, name string) (*coordinationv1.Lease, error) {
	lease, err := k.leases.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, Explain(err, "get", "leases/"+name)
	}
	k.remember(lease)
	return lease, nil
}

func (k *Client) remember(lease *coordinationv1.Lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen == nil {
		k.seen = map[string]*coordinationv1.Lease{}
	}
	k.seen[lease.Name] = lease
}

// leaseAt gives a copy of a Lease at a version. It asks the API only if this client has not seen that version last.
func (k *Client) leaseAt(ctx context.Context, name, version string) (*coordinationv1.Lease, error) {
	k.mu.Lock()
	lease := k.seen[name]
	k.mu.Unlock()
	if lease == nil || lease.ResourceVersion != version {
		var err error
		if lease, err = k.getLease(ctx, name); err != nil {
			return nil, err
		}
	}
	if lease.ResourceVersion != version {
		return nil, ErrChanged
	}
	return lease.DeepCopy(), nil
}

// writeLease replaces the annotation of a Lease if it is still at version. It keeps
// what others (Helm) have on it: the API refuses the write if anybody has written since that version.
func (k *Client) writeLease(ctx context.Context, name, version string, content any, holder string, transitions int32) (string, error) {
	encoded, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("encode lease %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	lease, err := k.leaseAt(ctx, name, version)
	if err != nil {
		return "", err
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[recordAnnotation] = string(encoded)
	if holder != "" {
		if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != holder {
			now := metav1.NowMicro()
			lease.Spec.AcquireTime = &now
		}
		lease.Spec.HolderIdentity, lease.Spec.LeaseTransitions = &holder, &transitions
	}
	updated, err := k.leases.Update(ctx, lease, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return "", ErrChanged
	}
	if err != nil {
		return "", Explain(err, "update", "leases/"+name)
	}
	k.remember(updated)
	return updated.ResourceVersion, nil
}
