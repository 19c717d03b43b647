package backup

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/image/launcher/internal/store"
	_ "github.com/redis-ha/redis-ha/tests/seed"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// backupAt gives the objects of a backup that began some hours before noon.
func backupAt(hours int, suffixes ...string) (name string, objects []store.Object) {
	began := noon.Add(-time.Duration(hours) * time.Hour)
	name = nameOf(began, File{SHA256: "0123456789abcdef"})
	for _, suffix := range suffixes {
		objects = append(objects, store.Object{Name: name + suffix, Size: 10, Modified: began})
	}
	return name, objects
}

func TestNamesTellTheTime(t *testing.T) {
	name := nameOf(noon.In(time.FixedZone("east", 7200)), File{SHA256: "0123456789abcdef"})
	assert.Equal(t, "20261130T120000Z-01234567", name)
	began, ok := timeOf(name)
	assert.True(t, ok)
	assert.Equal(t, noon, began)
	for _, other := range []string{"", "latest", "20261330T120000Z-01234567", "20261130T120000Z-0123456", "20261130T120000Z-0123456x", "../20261130T120000Z-01234567"} {
		_, ok := timeOf(other)
		assert.False(t, ok, other)
	}
}

func TestObjectsOfOthersAreLeftAlone(t *testing.T) {
	objects := []store.Object{{Name: "README.json"}, {Name: "dump.rdb"}, {Name: "20261130T120000Z-01234567.txt"}, {Name: "20261130T120000Z-01234567"}}
	assert.Empty(t, names(objects))
	assert.Empty(t, leftovers(objects, noon.Add(time.Hour)))
	assert.Empty(t, expired(objects, noon.Add(time.Hour), "3"))
}

func TestDataWithoutAManifestAreNoBackup(t *testing.T) {
	whole, objects := backupAt(50, dataSuffix, manifestSuffix)
	_, old := backupAt(30, encryptedSuffix)
	_, young := backupAt(2, dataSuffix)
	objects = slices.Concat(objects, old, young)
	assert.Equal(t, []string{whole}, names(objects))
	assert.Equal(t, []string{old[0].Name}, leftovers(objects, noon.Add(-leftoverAge)), "the young one may be under way")
}

func TestTheManifestIsDeletedFirst(t *testing.T) {
	name, objects := backupAt(1, dataSuffix, manifestSuffix)
	_, others := backupAt(2, dataSuffix, manifestSuffix)
	assert.Equal(t, []string{name + manifestSuffix, name + dataSuffix}, objectsOf(append(others, objects...), name))
}

// Whatever is there, and however the clock went: the last good backup stays, and so does every backup that is not too old.
func TestPropertyRetentionKeepsTheLastBackupAndTheYoungOnes(t *testing.T) {
	deleted := 0
	rapid.Check(t, func(t *rapid.T) {
		var objects []store.Object
		hours := rapid.SliceOfNDistinct(rapid.IntRange(-48, 2000), 1, 20, rapid.ID[int]).Draw(t, "ages in hours")
		for _, h := range hours {
			_, more := backupAt(h, rapid.SampledFrom([]string{dataSuffix, encryptedSuffix}).Draw(t, "kind"), manifestSuffix)
			objects = append(objects, more...)
		}
		last, _ := backupAt(rapid.SampledFrom(hours).Draw(t, "the one just made"))
		keep := rapid.IntRange(1, 2000).Draw(t, "retention in hours")
		before := noon.Add(-time.Duration(keep) * time.Hour)
		gone := expired(objects, before, last)
		for _, name := range gone {
			began, ok := timeOf(name)
			require.True(t, ok)
			require.True(t, began.Before(before), "%s is young", name)
			require.Less(t, name, last)
		}
		for _, name := range names(objects) {
			began, _ := timeOf(name)
			require.Equal(t, began.Before(before) && name < last, slices.Contains(gone, name), name)
		}
		deleted += len(gone)
	})
	assert.Positive(t, deleted)
}

func TestManifestsAreReadAsWritten(t *testing.T) {
	m := Manifest{Form: 1, Name: "20261130T120000Z-01234567", Release: "caches/redis-ha", Time: noon, Source: "server-1", RedisVersion: "8.0.2", Encrypted: true,
		Stored: File{12, "ab"}, RDB: File{10, "01234567"}}
	content, err := m.encode()
	require.NoError(t, err)
	got, err := decode(m.Name, content)
	require.NoError(t, err)
	assert.Equal(t, m, got)
	_, err = decode("20261130T120000Z-76543210", content)
	assert.ErrorContains(t, err, "it is not the manifest of that backup")
	m.Form = 2
	content, err = m.encode()
	require.NoError(t, err)
	_, err = decode(m.Name, content)
	assert.ErrorContains(t, err, "use a later image")
	for _, damaged := range []string{"", "{", "[]", "{}", fmt.Sprintf(`{"form":1,"name":%q}`, m.Name)} {
		_, err = decode(m.Name, []byte(damaged))
		assert.Error(t, err, damaged)
	}
}
