package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// partSize is how much of an object, in bytes, is sent at once and kept in memory meanwhile. S3 takes parts from 5 MiB on.
	partSize = 8 << 20
	// mostParts is the number of parts that S3 takes is 10 000; some are left over.
	mostParts = 9000
	// smallObject is the size, in bytes, up to which an object is sent in one request.
	smallObject = 1 << 20
	// attempts is how often a request is sent that a server has answered with an error that may pass.
	attempts = 5
	// cleanUpTime bounds the removal of what a failed upload has left. The context of the upload may have ended.
	cleanUpTime = 20 * time.Second
)

// S3Settings say where a bucket is and who may use it.
type S3Settings struct {
	Endpoint             string // URL of the server, http or https
	Bucket               string
	Prefix               string // of all objects; empty or with a slash at its end
	Region               string // empty: the server is asked
	AccessKey, SecretKey string
}

// S3 is a store in a bucket.
type S3 struct {
	client         *minio.Client
	core           minio.Core
	bucket, prefix string
}

var _ Store = &S3{}

// NewS3 prepares a store in a bucket. It sends nothing yet.
func NewS3(s S3Settings) (*S3, error) {
	endpoint, err := url.Parse(s.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("read the address of the S3 server: %w", err)
	}
	secure := endpoint.Scheme == "https"
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("prepare the connections to the S3 server: %w", err)
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Secure: secure, Region: s.Region, Transport: transport, MaxRetries: attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the client of the S3 server: %w", err)
	}
	return &S3{client: client, core: minio.Core{Client: client}, bucket: s.Bucket, prefix: s.Prefix}, nil
}

func (s *S3) String() string {
	return fmt.Sprintf("%s/%s/%s", strings.TrimSuffix(s.client.EndpointURL().String(), "/"), s.bucket, s.prefix)
}

func (s *S3) key(name string) string { return s.prefix + name }

// Put sends an object in parts. The server checks each of them against its MD5 checksum. It shows the object when all parts are there.
func (s *S3) Put(ctx context.Context, name string, content io.Reader, atMost int64) error {
	content = &bounded{content, atMost}
	options := putOptions(atMost)
	size := int64(-1)
	if atMost <= smallObject {
		whole, err := io.ReadAll(content)
		if err != nil {
			return failed("store", name, s, err)
		}
		content, size = bytes.NewReader(whole), int64(len(whole))
	}
	_, err := s.client.PutObject(ctx, s.bucket, s.key(name), content, size, options)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return failed("store", name, s, errors.Join(explain(err), s.abandon(ctx, name)))
	}
	return nil
}

// putOptions have each part protected by its MD5 checksum, which the request signs. Not every server knows the other way, a signature in
// between the content.
func putOptions(atMost int64) minio.PutObjectOptions {
	return minio.PutObjectOptions{
		ContentType: "application/octet-stream", SendContentMd5: true, DisableContentSha256: true, PartSize: partSizeOf(atMost),
	}
}

// partSizeOf gives the size of the parts, in bytes, of which an object has at most mostParts.
func partSizeOf(atMost int64) uint64 {
	const mebibyte = 1 << 20
	needed := (atMost/mostParts + mebibyte) / mebibyte * mebibyte
	return uint64(max(partSize, needed))
}

// abandon removes the parts of an upload that has failed.
func (s *S3) abandon(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	return s.abort(ctx, func(upload minio.ObjectMultipartInfo) bool { return upload.Key == s.key(name) })
}

// Get reads an object.
func (s *S3) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	body, _, _, err := s.core.GetObject(ctx, s.bucket, s.key(name), minio.GetObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		err = ErrNotThere
	}
	if err != nil {
		return nil, failed("read", name, s, explain(err))
	}
	return body, nil
}

// List leaves out objects whose names have a slash after the prefix.
func (s *S3) List(ctx context.Context) ([]Object, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var objects []Object
	for object := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix}) {
		if object.Err != nil {
			return nil, fmt.Errorf("list the objects at %s: %w", s, explain(object.Err))
		}
		if name := strings.TrimPrefix(object.Key, s.prefix); name != "" && !strings.Contains(name, "/") {
			objects = append(objects, Object{Name: name, Size: object.Size, Modified: object.LastModified})
		}
	}
	return objects, nil
}

// Delete deletes an object.
func (s *S3) Delete(ctx context.Context, name string) error {
	if err := s.client.RemoveObject(ctx, s.bucket, s.key(name), minio.RemoveObjectOptions{}); err != nil {
		return failed("delete", name, s, explain(err))
	}
	return nil
}

// Discard removes the parts of uploads that began before a time and have not ended. S3 keeps them, and has them paid, for ever.
func (s *S3) Discard(ctx context.Context, before time.Time) error {
	err := s.abort(ctx, func(upload minio.ObjectMultipartInfo) bool {
		return upload.Initiated.Before(before) && !strings.Contains(strings.TrimPrefix(upload.Key, s.prefix), "/")
	})
	if err != nil {
		return fmt.Errorf("remove unfinished uploads at %s: %w", s, explain(err))
	}
	return nil
}

// abort ends unfinished uploads below the prefix.
func (s *S3) abort(ctx context.Context, wanted func(minio.ObjectMultipartInfo) bool) error {
	keyMarker, idMarker := "", ""
	for {
		page, err := s.core.ListMultipartUploads(ctx, s.bucket, s.prefix, keyMarker, idMarker, "", 1000)
		if minio.ToErrorResponse(err).Code == minio.NoSuchUpload {
			return nil // some servers say so where there is none
		}
		if err != nil {
			return err
		}
		for _, upload := range page.Uploads {
			if !wanted(upload) {
				continue
			}
			if err := s.core.AbortMultipartUpload(ctx, s.bucket, upload.Key, upload.UploadID); err != nil && minio.ToErrorResponse(err).StatusCode != http.StatusNotFound {
				return err
			}
		}
		if !page.IsTruncated {
			return nil
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

// explain adds what the user can do about an answer of the server.
func explain(err error) error {
	switch minio.ToErrorResponse(err).Code {
	case minio.AccessDenied, minio.InvalidAccessKeyID, minio.SignatureDoesNotMatch:
		return fmt.Errorf("the S3 server refuses the keys; check access-key and secret-key of the Secret, and what they may do in the bucket: %w", err)
	case minio.NoSuchBucket:
		return fmt.Errorf("the S3 server has no such bucket; create it: %w", err)
	case "XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded":
		return fmt.Errorf("the S3 server has no more room; make room, or keep backups for a shorter time: %w", err)
	}
	return err
}
