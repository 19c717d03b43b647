package agent

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/redis-ha/redis-ha/image/launcher/internal/certificate"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
	"github.com/redis-ha/redis-ha/image/launcher/loopback/fakeauthority"
)

// certified keeps a certificate that is good for a time.
func certified(t *testing.T, life time.Duration) *certificate.Keeper {
	t.Helper()
	dir := t.TempDir()
	fakeauthority.New(t, fakeauthority.Long).Sign(t, life).Write(t, dir)
	k, err := certificate.Open(config.TLS{
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"), CAFile: filepath.Join(dir, "ca.crt"),
	}, quiet)
	require.NoError(t, err)
	return k
}

func TestRunningRedisIsToldOfAnotherCertificateUntilItHasTakenIt(t *testing.T) {
	s, redis := sized(t, release(t, "server-a"))
	s.certificates, s.child = certified(t, fakeauthority.Long), &process.Child{}
	require.NoError(t, s.certificates.Keep(t.TempDir()))
	redis.Answer("CONFIG SET tls-cert-file", "-ERR no such file\r\n")
	s.certify(t.Context())
	require.Contains(t, s.certificateState().Pending[0], "Redis has not taken its certificate: ERR no such file")
	redis.Answer("CONFIG SET tls-cert-file", "+OK\r\n")
	for range 3 {
		s.certify(t.Context())
	}
	folder := s.certificates.Folder()
	files := fmt.Sprintf("tls-cert-file %[1]s/tls.crt tls-key-file %[1]s/tls.key tls-ca-cert-file %[1]s/ca.crt", folder)
	require.Equal(t, []string{files, files}, directives(redis), "once more, and then not again")
	require.Empty(t, s.certificateState().Pending)

	s.certified, s.child = "", nil
	s.certify(t.Context())
	require.Len(t, directives(redis), 2, "a Redis that does not run reads its certificate when it starts")
}

func TestCertificateThatExpiresSoonIsAnnouncedOnceADay(t *testing.T) {
	server := release(t, "server-a")
	c := configured(t, server, "server-a")
	api := connect(t, server, c)
	state := *certified(t, fakeauthority.Long).State()
	require.Empty(t, announce(t.Context(), state, "", api, c, quiet))
	require.Empty(t, server.Events())

	state = *certified(t, 100*time.Hour).State()
	told := announce(t.Context(), state, "", api, c, quiet)
	for range 2 {
		require.Equal(t, told, announce(t.Context(), state, told, api, c, quiet))
	}
	require.Equal(t, told, announce(t.Context(), state, "", api, c, quiet), "another launcher")
	events := server.Events()
	require.Len(t, events, 1)
	require.Equal(t, "CertificateExpires", events[0].Reason)
	require.Equal(t, "Warning", events[0].Type)
	require.Equal(t, "server-a", events[0].InvolvedObject.Name)
	require.Contains(t, events[0].Message, "expires in 4 days")

	server.Deny("server-a", "create", "events")
	require.Equal(t, "yesterday", announce(t.Context(), state, "yesterday", api, c, quiet), "it tries again")
}

func TestEndOfTheCertificateIsAMetric(t *testing.T) {
	registry, k := prometheus.NewRegistry(), certified(t, fakeauthority.Long)
	NewMetrics(registry).CountCertificate(registry, k)
	families, err := registry.Gather()
	require.NoError(t, err)
	told := 0
	for _, family := range families {
		if family.GetName() == "redis_ha_certificate_expiry_timestamp_seconds" {
			told++
			require.Equal(t, float64(k.State().Expires.Unix()), family.GetMetric()[0].GetGauge().GetValue())
		}
	}
	require.Equal(t, 1, told)
}
