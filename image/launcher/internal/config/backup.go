package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Backup says where backups are kept, how, and for how long. Package backup makes and reads them.
type Backup struct {
	Enabled    bool          // the release makes backups, so the master tells the age of the last one
	Directory  string        // directory of the backups; empty: they are in a bucket
	S3         S3            // the bucket
	Recipients string        // public keys of age that backups are encrypted for, one a line; empty: they are not encrypted
	Identity   string        // private keys of age, one a line; only reading an encrypted backup needs them
	Retention  time.Duration // age from which on a backup is deleted
	WorkDir    string        // directory for one copy of the data
	// RestoreFrom names the backup that a release without data begins with, or is "latest"; empty: none.
	RestoreFrom string
}

// S3 is a bucket of a server that speaks S3, and who may use it.
type S3 struct {
	Endpoint, Bucket, Region string
	Prefix                   string // of all objects; empty, or with a slash at its end
	AccessKey, SecretKey     string
}

// Place gives the directory or the bucket of the backups, and is empty if there is neither.
func (b Backup) Place() string {
	if b.Directory != "" {
		return b.Directory
	}
	return b.S3.Bucket
}

// BackupLease is the name of the Lease that keeps backups apart and remembers the last one.
func (c Config) BackupLease() string { return c.Prefix + "backup" }

// backup reads what belongs to backups. Most pods have none of it.
func (r *reader) backup() Backup {
	b := Backup{
		Enabled:   r.boolean("LAUNCHER_BACKUP_ENABLED", false),
		Directory: r.env["LAUNCHER_BACKUP_DIR"],
		S3: S3{
			Endpoint:  r.env["LAUNCHER_BACKUP_S3_ENDPOINT"],
			Bucket:    r.env["LAUNCHER_BACKUP_S3_BUCKET"],
			Region:    r.env["LAUNCHER_BACKUP_S3_REGION"],
			Prefix:    r.env["LAUNCHER_BACKUP_S3_PREFIX"],
			AccessKey: strings.TrimSpace(r.env["LAUNCHER_BACKUP_S3_ACCESS_KEY"]),
			SecretKey: strings.TrimSpace(r.env["LAUNCHER_BACKUP_S3_SECRET_KEY"]),
		},
		Recipients: r.env["LAUNCHER_BACKUP_RECIPIENTS"],
		Identity:   r.env["LAUNCHER_BACKUP_IDENTITY"],
		Retention:  r.age("LAUNCHER_BACKUP_RETENTION", 30*day),
		WorkDir:    r.text("LAUNCHER_BACKUP_WORK_DIR", "/run/redis-ha-backup"),

		RestoreFrom: r.env["LAUNCHER_RESTORE_FROM"],
	}
	for _, name := range []string{"LAUNCHER_BACKUP_RECIPIENTS", "LAUNCHER_BACKUP_IDENTITY"} {
		if value, set := r.env[name]; set && strings.TrimSpace(value) == "" {
			r.problem("%s is set and empty: put a key of age into the Secret it comes from, or remove the variable", name)
		}
	}
	if b.S3 != (S3{}) {
		r.checkBucket(b)
	}
	if b.RestoreFrom != "" && !restorePattern.MatchString(b.RestoreFrom) {
		r.problem("LAUNCHER_RESTORE_FROM is %q: set it to the name of a backup, as 20261130T030000Z-1a2b3c4d, or to latest", b.RestoreFrom)
	}
	if b.RestoreFrom != "" && b.Place() == "" {
		r.problem("LAUNCHER_RESTORE_FROM is set, and nobody knows where the backups are: set LAUNCHER_BACKUP_DIR, or LAUNCHER_BACKUP_S3_BUCKET and what belongs to it")
	}
	if b.S3.Prefix != "" && !strings.HasSuffix(b.S3.Prefix, "/") {
		b.S3.Prefix += "/"
	}
	return b
}

func (r *reader) checkBucket(b Backup) {
	if b.Directory != "" {
		r.problem("LAUNCHER_BACKUP_DIR is set beside a bucket: set one of them")
	}
	for name, value := range map[string]string{
		"LAUNCHER_BACKUP_S3_ENDPOINT": b.S3.Endpoint, "LAUNCHER_BACKUP_S3_BUCKET": b.S3.Bucket,
		"LAUNCHER_BACKUP_S3_ACCESS_KEY": b.S3.AccessKey, "LAUNCHER_BACKUP_S3_SECRET_KEY": b.S3.SecretKey,
	} {
		if value == "" {
			r.problem("%s is missing: a bucket needs its endpoint, its name and both keys", name)
		} else if strings.ContainsFunc(value, unicode.IsControl) {
			r.problem("%s has a control character: use printable characters only", name)
		}
	}
	if u, err := url.Parse(b.S3.Endpoint); b.S3.Endpoint != "" &&
		(err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "") {
		r.problem("LAUNCHER_BACKUP_S3_ENDPOINT is %q: set it to an http or https URL without a path, as https://s3.example.com", b.S3.Endpoint)
	}
}

var restorePattern = regexp.MustCompile(`^([0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}|latest)$`)

const day = 24 * time.Hour

var agePattern = regexp.MustCompile(`^([1-9][0-9]{0,4})([hd])$`)

// age reads a time in days or hours.
func (r *reader) age(name string, fallback time.Duration) time.Duration {
	value := r.env[name]
	if value == "" {
		return fallback
	}
	parts := agePattern.FindStringSubmatch(value)
	if parts == nil {
		r.problem("%s is %q: set it to a number of days or hours, as 30d or 12h", name, value)
		return fallback
	}
	number, _ := strconv.Atoi(parts[1])
	if parts[2] == "d" {
		return time.Duration(number) * day
	}
	return time.Duration(number) * time.Hour
}

// CheckBackup makes sure that the environment says where the backups are. The error is a *ProblemsError.
func (c Config) CheckBackup() error {
	if c.Backup.Place() == "" {
		return &ProblemsError{Problems: []string{fmt.Sprintf("neither %s nor %s is set, so nobody knows where the backups are: run this command in a pod of the backup's CronJob",
			"LAUNCHER_BACKUP_DIR", "LAUNCHER_BACKUP_S3_BUCKET")}}
	}
	return nil
}
