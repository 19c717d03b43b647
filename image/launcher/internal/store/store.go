// Package store keeps files at a place that outlives a release: a directory of a volume, or a bucket of a server that speaks S3.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Store keeps objects by their names. A name has no slash. An object is there as a whole or not at all.
type Store interface {
	// String names the place for people.
	String() string
	// Put stores an object, in the place of an older one of the same name. The content has at most atMost bytes. After an error nothing is
	// left that List shows. Parts that the error could not remove go with Discard.
	Put(ctx context.Context, name string, content io.Reader, atMost int64) error
	// Get reads an object. The error is ErrNotThere if there is none.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List gives all objects.
	List(ctx context.Context) ([]Object, error)
	// Delete deletes an object. It is no error if there is none.
	Delete(ctx context.Context, name string) error
	// Discard removes what interrupted calls of Put have left, if they began before a time.
	Discard(ctx context.Context, before time.Time) error
}

// Object is an object of a store.
type Object struct {
	Name     string
	Size     int64 // bytes
	Modified time.Time
}

// ErrNotThere says that the store has no object of a name.
var ErrNotThere = errors.New("there is no such object")

// ErrTooLarge says that content has more bytes than Put was told.
var ErrTooLarge = errors.New("the content is larger than announced")

// bounded reads at most a number of bytes, and gives an error for more. Its own errors never equal io.ErrUnexpectedEOF, which minio-go takes
// for the end of the content.
type bounded struct {
	from io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLarge
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read the content: %w", err)
	}
	return n, err
}

// failed wraps an error with what was attempted.
func failed(what, name string, at Store, err error) error {
	return fmt.Errorf("%s %s at %s: %w", what, name, at, err)
}
