package kube

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
)

// TestWriteBetweenReadingAndWritingIsSeen has somebody else win the race after
// the Lease was found unchanged: only the API's own comparison catches that.
func TestWriteBetweenReadingAndWritingIsSeen(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409}`)
			return
		}
		_, _ = io.WriteString(w, `{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"x","resourceVersion":"5"}}`)
	}))
	t.Cleanup(server.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"`+
		server.URL+`"}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`), 0o600))
	c, err := New(config.Config{Prefix: prefix, Namespace: "ns", PodSelector: labels.Everything(), Kubeconfig: kubeconfig}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	record, err := c.Record(t.Context())
	require.NoError(t, err)
	_, err = c.WriteRecord(t.Context(), record)
	require.ErrorIs(t, err, ErrChanged)
}
