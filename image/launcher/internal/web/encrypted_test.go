package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

func TestLaunchersTalkToEachOtherEncryptedAndAnswerNobodyElse(t *testing.T) {
	a := fakeauthority.New(t, fakeauthority.Long)
	secret := a.Sign(t, fakeauthority.Long)
	pair, err := tls.X509KeyPair(secret.Cert, secret.Key)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	s := New(prometheus.NewRegistry())
	s.Encrypt(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	s.SetRelease(func(netip.Addr) (in, known bool) { return true, true })
	s.SetStatus(map[string]string{"uid": "uid-a"})
	s.serveOn(t.Context(), listener)

	t.Cleanup(func() { AskEncrypted(nil) })
	AskEncrypted(a.Sign(t, fakeauthority.Long).Client(t))
	var told map[string]string
	require.NoError(t, FetchStatus(t.Context(), "127.0.0.1", port, &told))
	require.Equal(t, "uid-a", told["uid"])
	ended := make(chan error, 1)
	go func() { ended <- AwaitEnd(context.Background(), "127.0.0.1", port) }()
	require.Eventually(t, func() bool { return s.Watched() == 1 }, soon, 10*time.Millisecond, "the other launcher waits")
	s.Leave()
	require.NoError(t, <-ended)

	conn := connect(t, port)
	require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
	_, _ = io.WriteString(conn, "GET /status HTTP/1.0\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	require.NotContains(t, string(answer), "uid-a")

	client.CloseIdleConnections()
	AskEncrypted(fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long).Client(t))
	require.ErrorContains(t, FetchStatus(t.Context(), "127.0.0.1", port, &told), "signed by unknown authority")
}

// The log has what goes wrong in an answer, and no line for each connection of a port scan.
func TestLogHasNoHandshakesThatFail(t *testing.T) {
	var out bytes.Buffer
	w := withoutHandshakes{&out}
	for _, line := range []string{"http: TLS handshake error from 10.0.0.1:4242: EOF\n", "http: panic serving 10.0.0.1:4242\n"} {
		n, err := w.Write([]byte(line))
		require.NoError(t, err)
		require.Len(t, line, n)
	}
	require.Equal(t, "http: panic serving 10.0.0.1:4242\n", out.String())
	plain := New(prometheus.NewRegistry())
	require.Nil(t, plain.http.ErrorLog, "without encryption all is logged")
}

// A launcher that stands still accepts connections, and does not answer. Nobody waits for it longer than for an answer.
func TestLauncherThatStandsStillHoldsNobodyUp(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	t.Cleanup(func() { AskEncrypted(nil) })
	AskEncrypted(fakeauthority.New(t, fakeauthority.Long).Sign(t, fakeauthority.Long).Client(t))
	ended := make(chan error, 1)
	go func() { ended <- AwaitEnd(t.Context(), "127.0.0.1", listener.Addr().(*net.TCPAddr).Port) }()
	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(soon):
		require.FailNow(t, "it waits for a launcher that does not answer")
	}
}
