// Package backup makes, lists, reads and deletes backups of a release.
//
// A backup is two objects in a store: the data as an RDB file, which may be encrypted, and a manifest, which is small. The manifest is written
// last, after the data have been read back from the store. So data without a manifest are no backup, and each backup is whole.
package backup

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

const (
	// timeForm is how a name begins: the UTC time at which the backup began.
	timeForm = "20060102T150405Z"
	// sumLength is how many digits of the checksum of the RDB file a name has.
	sumLength = 8
	// What the names of the objects of a backup end in.
	manifestSuffix  = ".json"
	dataSuffix      = ".rdb"
	encryptedSuffix = ".rdb.age"
	// manifestSize bounds a manifest, in bytes.
	manifestSize = 64 << 10
	// manifestForm is the number of this form of a manifest. A later form has a larger number.
	manifestForm = 1
)

var namePattern = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$`)

// File is a file, and how to tell whether it is whole.
type File struct {
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // in hexadecimal digits
}

// Manifest describes a backup.
type Manifest struct {
	Form         int       `json:"form"`
	Name         string    `json:"name"`
	Release      string    `json:"release"` // namespace and full name
	Time         time.Time `json:"time"`    // when the backup began, in UTC
	Source       string    `json:"source"`  // pod that the data come from
	RedisVersion string    `json:"redisVersion"`
	Encrypted    bool      `json:"encrypted"`      // with age
	Keys         *int64    `json:"keys,omitempty"` // in the RDB file; nil if they have not been counted
	Stored       File      `json:"stored"`         // the object with the data
	RDB          File      `json:"rdb"`            // the RDB file; of an encrypted backup, before it was encrypted
}

// nameOf gives the name of a backup that began at a time and whose RDB file has a checksum.
func nameOf(began time.Time, rdb File) string {
	return began.UTC().Format(timeForm) + "-" + rdb.SHA256[:sumLength]
}

// timeOf reads the time from a name. ok is false if the text is no name of a backup.
func timeOf(name string) (began time.Time, ok bool) {
	if !namePattern.MatchString(name) {
		return time.Time{}, false
	}
	began, err := time.Parse(timeForm, name[:len(timeForm)])
	return began, err == nil
}

// dataName is the name of the object with the data of a backup.
func dataName(name string, encrypted bool) string {
	if encrypted {
		return name + encryptedSuffix
	}
	return name + dataSuffix
}

// objectOf tells which backup an object belongs to. manifest is false for data. The name is empty for an object of somebody else.
func objectOf(object string) (name string, manifest bool) {
	for _, suffix := range []string{manifestSuffix, encryptedSuffix, dataSuffix} {
		name, found := strings.CutSuffix(object, suffix)
		if _, ok := timeOf(name); found && ok {
			return name, suffix == manifestSuffix
		}
	}
	return "", false
}

// encode writes a manifest as JSON.
func (m Manifest) encode() ([]byte, error) {
	content, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	return append(content, '\n'), nil
}

// decode reads the manifest of the backup of a name.
func decode(name string, content []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return Manifest{}, fmt.Errorf("read the manifest of backup %s: %w", name, err)
	}
	switch {
	case m.Form > manifestForm:
		return Manifest{}, fmt.Errorf("read the manifest of backup %s: it has form %d, and this launcher knows form %d: use a later image", name, m.Form, manifestForm)
	case m.Name != name || m.Form < 1 || m.Stored.Size <= 0 || m.Stored.SHA256 == "" || m.RDB.Size <= 0 || m.RDB.SHA256 == "":
		return Manifest{}, fmt.Errorf("read the manifest of backup %s: it is not the manifest of that backup", name)
	}
	return m, nil
}
