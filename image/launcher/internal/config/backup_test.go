package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bucket is a complete bucket, with changes.
func bucket(changes ...string) []string {
	return append([]string{
		"LAUNCHER_BACKUP_S3_ENDPOINT=https://s3.example.com", "LAUNCHER_BACKUP_S3_BUCKET=backups",
		"LAUNCHER_BACKUP_S3_ACCESS_KEY=access", "LAUNCHER_BACKUP_S3_SECRET_KEY=hidden",
	}, changes...)
}

func TestBackupsHaveOnePlace(t *testing.T) {
	require.NoError(t, accepted(t, bucket()...).CheckBackup())
	require.Equal(t, "backups", accepted(t, bucket()...).Backup.Place())
	require.NoError(t, accepted(t, "LAUNCHER_BACKUP_DIR=/backups").CheckBackup())
	require.Equal(t, "/backups", accepted(t, "LAUNCHER_BACKUP_DIR=/backups").Backup.Place())
	require.ErrorContains(t, accepted(t).CheckBackup(), "neither LAUNCHER_BACKUP_DIR nor LAUNCHER_BACKUP_S3_BUCKET is set")
	require.Equal(t, []string{"LAUNCHER_BACKUP_DIR is set beside a bucket: set one of them"}, refused(t, bucket("LAUNCHER_BACKUP_DIR=/backups")...))
}

func TestBadSettingsOfBackupsAreRefused(t *testing.T) {
	for change, want := range map[string]string{
		"LAUNCHER_BACKUP_S3_ENDPOINT":                    "LAUNCHER_BACKUP_S3_ENDPOINT is missing: a bucket needs its endpoint, its name and both keys",
		"LAUNCHER_BACKUP_S3_SECRET_KEY":                  "LAUNCHER_BACKUP_S3_SECRET_KEY is missing: a bucket needs its endpoint, its name and both keys",
		"LAUNCHER_BACKUP_S3_SECRET_KEY=hid\x01den":       "LAUNCHER_BACKUP_S3_SECRET_KEY has a control character: use printable characters only",
		"LAUNCHER_BACKUP_S3_ENDPOINT=s3.example.com":     `LAUNCHER_BACKUP_S3_ENDPOINT is "s3.example.com": set it to an http or https URL without a path, as https://s3.example.com`,
		"LAUNCHER_BACKUP_S3_ENDPOINT=https://s3/backups": `LAUNCHER_BACKUP_S3_ENDPOINT is "https://s3/backups": set it to an http or https URL without a path, as https://s3.example.com`,
		"LAUNCHER_BACKUP_RECIPIENTS= ":                   "LAUNCHER_BACKUP_RECIPIENTS is set and empty: put a key of age into the Secret it comes from, or remove the variable",
		"LAUNCHER_BACKUP_RETENTION=0d":                   `LAUNCHER_BACKUP_RETENTION is "0d": set it to a number of days or hours, as 30d or 12h`,
		"LAUNCHER_BACKUP_RETENTION=1w":                   `LAUNCHER_BACKUP_RETENTION is "1w": set it to a number of days or hours, as 30d or 12h`,
		"LAUNCHER_RESTORE_FROM=yesterday":                `LAUNCHER_RESTORE_FROM is "yesterday": set it to the name of a backup, as 20261130T030000Z-1a2b3c4d, or to latest`,
		"LAUNCHER_BACKUP_ENABLED=yes":                    `LAUNCHER_BACKUP_ENABLED is "yes": set it to true or false`,
	} {
		require.Equal(t, []string{want}, refused(t, bucket(change)...))
	}
	require.Equal(t, []string{"LAUNCHER_RESTORE_FROM is set, and nobody knows where the backups are: set LAUNCHER_BACKUP_DIR, or LAUNCHER_BACKUP_S3_BUCKET and what belongs to it"},
		refused(t, "LAUNCHER_RESTORE_FROM=latest"))
	require.Equal(t, "20261130T030000Z-1a2b3c4d", accepted(t, bucket("LAUNCHER_RESTORE_FROM=20261130T030000Z-1a2b3c4d")...).Backup.RestoreFrom)
	require.Equal(t, 48*time.Hour, accepted(t, "LAUNCHER_BACKUP_RETENTION=2d").Backup.Retention)
}
