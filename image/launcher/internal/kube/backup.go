package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BackupRecord is what the Lease of backups holds: who makes or restores one at the moment, and what the last good one is.
type BackupRecord struct {
	Holder string     `json:"-"` // pod that makes or restores a backup; empty: nobody does
	Last   LastBackup `json:"last"`
	// Restoration is an order of the holder; nil: there is none. It ends with the holder.
	Restoration *Restoration `json:"restoration,omitempty"`
	// Ordered is the last order that was given; the zero value: none was.
	Ordered Ordered `json:"ordered,omitzero"`

	Version string `json:"-"` // of the Lease; each write changes it
}

// LastBackup is the last backup that was checked where it is kept. The zero value means that there has been none.
type LastBackup struct {
	Name string    `json:"name"`
	Time time.Time `json:"time"` // when it began
	Size int64     `json:"size"` // bytes that it takes where it is kept
}

// Restoration is the order to a server to load a backup, so that the backup replaces the data of the release.
type Restoration struct {
	Backup string `json:"backup"` // its name
	Server string `json:"server"` // UID of the pod
	// URL is where the holder of the Lease gives the RDB file, and hears how far the server is.
	URL    string `json:"url"`
	Size   int64  `json:"size"`   // of the RDB file, in bytes
	SHA256 string `json:"sha256"` // of the RDB file, in hexadecimal digits
}

// Ordered says which pod has given an order to load a backup, and when by its clock.
type Ordered struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// BackupRecord reads the Lease of backups.
func (k *Client) BackupRecord(ctx context.Context) (BackupRecord, error) {
	var r BackupRecord
	lease, err := k.readLease(ctx, k.config.BackupLease(), &r)
	if err != nil {
		return BackupRecord{}, err
	}
	if lease.Spec.HolderIdentity != nil {
		r.Holder = *lease.Spec.HolderIdentity
	}
	r.Version = lease.ResourceVersion
	return r, nil
}

// WriteBackupRecord replaces the record that was read before. It gives ErrChanged when somebody else has written since.
func (k *Client) WriteBackupRecord(ctx context.Context, r BackupRecord) (BackupRecord, error) {
	name := k.config.BackupLease()
	encoded, err := json.Marshal(r)
	if err != nil {
		return BackupRecord{}, fmt.Errorf("encode lease %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	lease, err := k.leaseAt(ctx, name, r.Version)
	if err != nil {
		return BackupRecord{}, err
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[recordAnnotation] = string(encoded)
	lease.Spec.HolderIdentity, lease.Spec.RenewTime = nil, nil
	if r.Holder != "" {
		now := metav1.NowMicro()
		lease.Spec.HolderIdentity, lease.Spec.RenewTime = &r.Holder, &now
	}
	updated, err := k.leases.Update(ctx, lease, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return BackupRecord{}, ErrChanged
	}
	if err != nil {
		return BackupRecord{}, Explain(err, "update", "leases/"+name)
	}
	k.remember(updated)
	r.Version = updated.ResourceVersion
	return r, nil
}
