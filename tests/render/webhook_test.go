package chart_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/tests/render/render"
)

// webhook are values with an address for notifications.
func webhook(address string) render.Values {
	return render.Values{"notifications": map[string]any{"webhook": map[string]any{"url": address}}}
}

func TestSensibleWebhooksAreAccepted(t *testing.T) {
	for _, address := range []string{
		"http://example.com", "https://example.com./", "https://hooks.example.com/T0/B0/x?a=b&c=d%20e#f", "http://alertmanager:9093/api",
		"http://alertmanager.monitoring.svc:65535", "http://10.0.0.1:8080/", "http://[fd00::1]:8080/a?b=c", "http://[::1]", "https://Example.COM?a",
		"https://example.com/@me:x", "https://example.com/a;b,c/(d)!*'~$e", "https://xn--e1afmkfd.example",
	} {
		assert.Equal(t, strings.ReplaceAll(address, "$", "$$"), deploymentEnv(t, render.Chart(t, webhook(address)), sentinel)["LAUNCHER_NOTIFY_WEBHOOK_URL"])
	}
}

func TestWebhooksThatTheLauncherWouldNotTakeAreRefused(t *testing.T) {
	for _, address := range []string{
		"https://", "https:///a", "https://:8080/", "https://example.com:/", "https://example.com:0/", "https://example.com:65536/", "https://example.com:080/",
		"http://[fd00::1", "http://fd00::1/", "http://[10.0.0.1]/", "http://[fe80::1%25eth0]/", "https://-a/", "https://a..b/", "https://a b/",
		"https://example.com/a b", "https://example.com/%", "https://example.com/%zz", "ftp://example.com/", "HTTPS//example.com", "https://example.com/\u00e9",
	} {
		lines := problems(t, webhook(address))
		require.Len(t, lines, 1, address)
		assert.Contains(t, lines[0], "notifications.webhook.url: is not an http or https address", address)
	}
}

// What the chart takes for an address, Go's parser does, too, which the launcher and the NetworkPolicy rely on.
func TestPropertyAcceptedWebhooksAreAddresses(t *testing.T) {
	// Each part of an address: what is legal, and what may not be.
	parts := [][2]*rapid.Generator[string]{
		{rapid.SampledFrom([]string{"http://", "https://"}), rapid.SampledFrom([]string{"https:", "https:///", "ftp://", "HTTP://", ""})},
		{rapid.SampledFrom([]string{"example.com", "10.0.0.1", "[fd00::1]", "[::]"}), rapid.OneOf(rapid.SampledFrom([]string{"", "fd00::1", "a_b", "me@a", "a%20b"}),
			rapid.StringMatching(`[a-z0-9.-]{1,6}`), rapid.StringMatching(`\[[0-9a-f:]{2,12}\]`), hostile)},
		{rapid.SampledFrom([]string{"", ":1", ":65535"}), rapid.OneOf(rapid.SampledFrom([]string{":", ":0", ":65536", ":x"}), rapid.StringMatching(`:[0-9]{1,6}`))},
		{rapid.SampledFrom([]string{"", "/", "?a=b", "#c", "/%2f"}), rapid.OneOf(rapid.SampledFrom([]string{"/%", "?%", "#%", "x"}), rapid.StringMatching(`[/?#][ -~]{0,8}`), hostile)},
	}
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		address, doubtful := "", rapid.IntRange(0, len(parts)-1).Draw(t, "doubtful part")
		for i, part := range parts {
			if i == doubtful {
				address += part[1].Draw(t, "part")
			} else {
				address += part[0].Draw(t, "part")
			}
		}
		values := webhook(address)
		values["networkPolicy"] = map[string]any{"enabled": true}
		if _, err := render.Try(values); err != nil {
			lines := problems(t, values)
			require.Len(t, lines, 1)
			require.True(t, strings.HasPrefix(lines[0], "notifications.webhook.url: "), lines[0])
			return
		}
		accepted++
		parsed, err := url.Parse(address)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, parsed.Scheme)
		require.NotEmpty(t, parsed.Hostname())
		require.Nil(t, parsed.User)
		if text := parsed.Port(); text != "" {
			number, err := strconv.Atoi(text)
			require.NoError(t, err)
			require.True(t, number >= 1 && number <= 65535, text)
		} else {
			require.False(t, strings.HasSuffix(parsed.Host, ":"))
		}
	})
	assert.Positive(t, accepted)
}

// An address in a URL is one of the ranges of the schema without its length.
func TestAddressesOfWebhooksAndOfRangesAreTheSame(t *testing.T) {
	_, after, found := strings.Cut(rules(t), "{{- define \"redis-ha.ipv6\" -}}\n")
	require.True(t, found)
	address, _, _ := strings.Cut(after, "\n")
	peer := readSchema(t).Properties["networkPolicy"].Properties["clients"].Items
	pattern := peer.Properties["ipBlock"].Properties["cidr"].Pattern
	assert.Contains(t, pattern, "|"+address+"/(12[0-8]|")
}

// The kubelet puts a variable of the container in place of $(NAME), and one $ in place of two.
func TestDollarsOfTheWebhookAreDoubledForTheKubelet(t *testing.T) {
	m := render.Chart(t, webhook("https://example.com/?p=$(REDIS_PASS)&q=$$x"))
	assert.Equal(t, "https://example.com/?p=$$(REDIS_PASS)&q=$$$$x", deploymentEnv(t, m, sentinel)["LAUNCHER_NOTIFY_WEBHOOK_URL"])
}
