package backup

import (
	"cmp"
	"slices"
	"time"

	"github.com/redis-ha/redis-ha/image/launcher/internal/store"
)

// leftoverAge is how old data without a manifest are when they are deleted. A backup that takes longer has failed.
const leftoverAge = 24 * time.Hour

// names gives the names of the backups among the objects of a store, the newest first.
func names(objects []store.Object) []string {
	var found []string
	for _, o := range objects {
		if name, manifest := objectOf(o.Name); manifest {
			found = append(found, name)
		}
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Compare(b, a) })
	return found
}

// leftovers gives the data that no backup has, if they were written before a time. A run that was interrupted leaves them.
func leftovers(objects []store.Object, before time.Time) []string {
	backups := names(objects)
	var found []string
	for _, o := range objects {
		name, manifest := objectOf(o.Name)
		if name != "" && !manifest && !slices.Contains(backups, name) && o.Modified.Before(before) {
			found = append(found, o.Name)
		}
	}
	return found
}

// expired gives the backups that began before a time, the newest first. last is the last good backup, and no backup that is newer than last
// expires, either.
func expired(objects []store.Object, before time.Time, last string) []string {
	return slices.DeleteFunc(names(objects), func(name string) bool {
		began, _ := timeOf(name)
		return name >= last || !began.Before(before)
	})
}

// objectsOf gives the objects of a backup in the order in which they are deleted: the manifest first, so that nothing without its data is
// taken for a backup.
func objectsOf(objects []store.Object, name string) []string {
	var found []string
	for _, o := range objects {
		if of, manifest := objectOf(o.Name); of == name {
			if manifest {
				found = slices.Insert(found, 0, o.Name)
			} else {
				found = append(found, o.Name)
			}
		}
	}
	return found
}
