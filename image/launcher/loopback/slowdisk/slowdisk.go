// Package slowdisk is a disk for tests that is busy until the test says otherwise.
package slowdisk

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Install replaces a function that flushes files. Every flush then waits until release is called. begun gives the name of each file whose
// flush begins.
func Install(t *testing.T, flush *func(*os.File) error) (begun <-chan string, release func()) {
	names, released := make(chan string, 100), make(chan struct{})
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	*flush = func(file *os.File) error {
		names <- filepath.Base(file.Name())
		<-released
		return file.Sync()
	}
	return names, release
}
