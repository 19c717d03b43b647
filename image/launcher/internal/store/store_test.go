package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/internal/s3server"
)

// inBucket gives a store on an S3 server with further flags, whose objects are in dir.
func inBucket(t *testing.T, dir string, flags ...string) *S3 {
	t.Helper()
	s, err := NewS3(S3Settings{
		Endpoint: s3server.Start(t, dir, flags...), Bucket: s3server.Bucket, Prefix: "kube-public/redis-ha/",
		AccessKey: s3server.AccessKey, SecretKey: s3server.SecretKey,
	})
	require.NoError(t, err)
	return s
}

// stores are one of each kind.
func stores(t *testing.T) map[string]Store {
	t.Helper()
	directory, err := NewDirectory(filepath.Join(t.TempDir(), "release"))
	require.NoError(t, err)
	return map[string]Store{"directory": directory, "S3": inBucket(t, t.TempDir())}
}

func names(t *testing.T, s Store) []string {
	t.Helper()
	objects, err := s.List(t.Context())
	require.NoError(t, err)
	found := []string{}
	for _, o := range objects {
		found = append(found, o.Name)
	}
	slices.Sort(found)
	return found
}

func content(t *testing.T, s Store, name string) []byte {
	t.Helper()
	body, err := s.Get(t.Context(), name)
	require.NoError(t, err)
	defer body.Close()
	all, err := io.ReadAll(body)
	require.NoError(t, err)
	return all
}

// noise cannot be compressed.
func noise(size int) []byte {
	generator := rand.NewChaCha8([32]byte{1})
	b := make([]byte, size)
	_, _ = generator.Read(b)
	return b
}

func TestObjectsComeBackAsTheyWere(t *testing.T) {
	for kind, s := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			for name, size := range map[string]int{"empty": 0, "small": 300, "one part": partSize, "several parts": 2*partSize + 5} {
				want := noise(size)
				require.NoError(t, s.Put(t.Context(), name, bytes.NewReader(want), int64(size)))
				assert.True(t, bytes.Equal(want, content(t, s, name)), name)
			}
			require.NoError(t, s.Put(t.Context(), "small", bytes.NewReader([]byte("newer")), 100))
			assert.Equal(t, "newer", string(content(t, s, "small")))
			assert.Equal(t, []string{"empty", "one part", "several parts", "small"}, names(t, s))
			objects, err := s.List(t.Context())
			require.NoError(t, err)
			for _, o := range objects {
				if o.Name == "one part" {
					assert.EqualValues(t, partSize, o.Size)
					assert.WithinDuration(t, time.Now(), o.Modified, time.Minute)
				}
			}
			require.NoError(t, s.Delete(t.Context(), "small"))
			require.NoError(t, s.Delete(t.Context(), "small"), "it is gone already")
			assert.Equal(t, []string{"empty", "one part", "several parts"}, names(t, s))
			_, err = s.Get(t.Context(), "small")
			assert.ErrorIs(t, err, ErrNotThere)
		})
	}
}

// breaks gives some bytes, and an error after them.
type breaks struct {
	left int
	with error
}

var errBroken = errors.New("the copy broke off")

func (b *breaks) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.with
	}
	n := min(len(p), b.left)
	b.left -= n
	return n, nil
}

func TestFailedPutLeavesNothing(t *testing.T) {
	for kind, s := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			assert.ErrorIs(t, s.Put(t.Context(), "broken", &breaks{left: 3 * partSize, with: errBroken}, 5*partSize), errBroken)
			assert.ErrorIs(t, s.Put(t.Context(), "cut", &breaks{left: partSize + 5, with: io.ErrUnexpectedEOF}, 5*partSize), io.ErrUnexpectedEOF)
			assert.ErrorIs(t, s.Put(t.Context(), "larger", bytes.NewReader(noise(2*partSize)), partSize), ErrTooLarge)
			ended, cancel := context.WithCancelCause(t.Context())
			cancel(errBroken)
			assert.ErrorIs(t, s.Put(ended, "ended", bytes.NewReader(noise(2*partSize)), 2*partSize), errBroken)
			assert.Empty(t, names(t, s))
			assert.Empty(t, leftovers(t, s))
		})
	}
}

// leftovers are the names of what unfinished calls of Put have left.
func leftovers(t *testing.T, s Store) []string {
	t.Helper()
	found := []string{}
	switch s := s.(type) {
	case Directory:
		parts, err := s.list(func(string) bool { return true })
		require.NoError(t, err)
		for _, part := range parts {
			found = append(found, part.Name)
		}
	case *S3:
		page, err := s.core.ListMultipartUploads(t.Context(), s.bucket, s.prefix, "", "", "", 1000)
		if err != nil { // the test server knows no list before the first upload in parts
			require.ErrorContains(t, err, "upload")
			return found
		}
		for _, upload := range page.Uploads {
			found = append(found, upload.Key)
		}
	}
	return found
}

func TestDiscardRemovesOldLeftoversOnly(t *testing.T) {
	for kind, s := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			require.NoError(t, s.Put(t.Context(), "whole", bytes.NewReader(noise(10)), 10))
			leave(t, s)
			require.NoError(t, s.Discard(t.Context(), time.Now().Add(-time.Hour)))
			assert.Len(t, leftovers(t, s), map[string]int{"directory": 2, "S3": 1}[kind], "the upload may be under way")
			require.NoError(t, s.Discard(t.Context(), time.Now().Add(time.Hour)))
			assert.NotContains(t, leftovers(t, s), "unfinished")
			assert.Equal(t, []string{"whole"}, names(t, s))
		})
	}
}

// leave does what an interrupted Put does.
func leave(t *testing.T, s Store) {
	t.Helper()
	switch s := s.(type) {
	case Directory:
		require.NoError(t, os.WriteFile(s.file("unfinished"+unfinished), noise(10), 0o600))
	case *S3:
		_, err := s.core.NewMultipartUpload(t.Context(), s.bucket, s.key("unfinished"), putOptions(0))
		require.NoError(t, err)
	}
}

func TestFullServerAndBrokenConnection(t *testing.T) {
	for name, c := range map[string]struct{ flag, says string }{
		"full":   {"-room", "the S3 server has no more room"},
		"broken": {"-break-after", "store large at"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := inBucket(t, dir, c.flag, "20000000")
			err := s.Put(t.Context(), "large", bytes.NewReader(noise(3*partSize)), 3*partSize)
			require.ErrorContains(t, err, c.says)
			assert.Empty(t, names(t, s))
			assert.Empty(t, leftovers(t, s))
		})
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	address := s3server.Start(t, t.TempDir())
	for says, settings := range map[string]S3Settings{
		"the S3 server refuses the keys":       {Endpoint: address, Bucket: s3server.Bucket, AccessKey: "other", SecretKey: "hidden"},
		"the S3 server has no such bucket":     {Endpoint: address, Bucket: "missing", AccessKey: s3server.AccessKey, SecretKey: "hidden"},
		"list the objects at http://127.0.0.1": {Endpoint: "http://127.0.0.1:1", Bucket: "b", AccessKey: s3server.AccessKey, SecretKey: "hidden", Region: "r"},
	} {
		s, err := NewS3(settings)
		require.NoError(t, err)
		_, err = s.List(t.Context())
		require.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "hidden")
	}
}

func TestPartsAreFewEnough(t *testing.T) {
	assert.EqualValues(t, partSize, partSizeOf(0))
	assert.EqualValues(t, partSize, partSizeOf(60<<30))
	for _, size := range []int64{100 << 30, 1 << 40} {
		assert.LessOrEqual(t, size/int64(partSizeOf(size)), int64(mostParts))
	}
}
