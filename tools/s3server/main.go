// Command s3server is a server that speaks S3, for tests of backups. It keeps one bucket in a directory, and it can fail as servers do.
package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3afero"
	"github.com/spf13/afero"
)

// settings are what the flags say.
type settings struct {
	listen, dir, bucket, accessKey string
	room, breakAfter               int64
	flip                           string
}

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:0", "host:port to listen at")
	flag.StringVar(&s.dir, "dir", "", "directory of the objects")
	flag.StringVar(&s.bucket, "bucket", "backups", "name of the bucket, which is made")
	flag.StringVar(&s.accessKey, "access-key", "access", "the only access key that is let in; its secret is not checked")
	flag.Int64Var(&s.room, "room", -1, "bytes that the server takes until it is full; -1: any number")
	flag.Int64Var(&s.breakAfter, "break-after", -1, "bytes of content after which the server ends the connection; -1: never")
	flag.StringVar(&s.flip, "flip", "", "change one bit of each object whose name ends with this text when it is read; empty changes nothing")
	flag.Parse()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "s3server:", err)
		os.Exit(1)
	}
}

func run(s settings) error {
	if s.dir == "" {
		return errors.New("set -dir to a directory")
	}
	backend, err := s3afero.MultiBucket(afero.NewBasePathFs(afero.NewOsFs(), s.dir))
	if err != nil {
		return fmt.Errorf("open the directory of the objects: %w", err)
	}
	if exists, err := backend.BucketExists(s.bucket); err != nil {
		return fmt.Errorf("look for the bucket: %w", err)
	} else if !exists {
		if err := backend.CreateBucket(s.bucket); err != nil {
			return fmt.Errorf("make the bucket: %w", err)
		}
	}
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Println("http://" + listener.Addr().String()) // those who started this process read it
	inner := gofakes3.New(backend, gofakes3.WithIntegrityCheck(true), gofakes3.WithoutVersioning()).Server()
	return http.Serve(listener, &faulty{settings: s, inner: inner})
}

// faulty passes requests on, or fails as the settings say.
type faulty struct {
	settings
	inner http.Handler
	taken atomic.Int64 // bytes of content
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Authorization"), "Credential="+f.accessKey+"/") {
		refuse(w, http.StatusForbidden, "InvalidAccessKeyId", "The access key ID you provided does not exist in our records.")
		return
	}
	if r.Method == http.MethodPut {
		taken := f.taken.Add(r.ContentLength)
		if f.room >= 0 && taken > f.room {
			refuse(w, http.StatusInsufficientStorage, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")
			return
		}
		if f.breakAfter >= 0 && taken > f.breakAfter {
			_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
			panic(http.ErrAbortHandler)
		}
	}
	// S3 lists nothing below a prefix that no object has. The backend would say that there is no bucket.
	if r.Method == http.MethodGet && strings.Trim(r.URL.Path, "/") == f.bucket {
		_ = os.MkdirAll(filepath.Join(f.dir, "buckets", f.bucket, filepath.FromSlash(path.Clean("/"+r.URL.Query().Get("prefix")))), 0o700)
	}
	if f.flip != "" && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, f.flip) {
		w = &flipper{ResponseWriter: w}
	}
	f.inner.ServeHTTP(w, r)
}

// refuse answers as S3 does.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message})
}

// flipper changes a bit of the content, if it is no list.
type flipper struct {
	http.ResponseWriter
	done bool
}

func (f *flipper) Write(p []byte) (int, error) {
	if !f.done && len(p) > 0 && p[0] != '<' {
		f.done = true
		p = append([]byte{}, p...)
		p[len(p)/2] ^= 1
	}
	return f.ResponseWriter.Write(p)
}
