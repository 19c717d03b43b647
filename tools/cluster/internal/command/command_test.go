package command

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFailureCarriesTheLastLines(t *testing.T) {
	var log bytes.Buffer
	err := Runner{Log: &log}.Run(context.Background(), "sh", "-c", "seq 100; echo broken >&2; exit 3")
	require.Error(t, err)
	assert.Contains(t, err.Error(), "exit status 3")
	assert.Contains(t, err.Error(), "broken")
	assert.NotContains(t, err.Error(), "\n  50\n")
	assert.Contains(t, log.String(), "\n50\n")
}

func TestOutputIsStandardOutputOnly(t *testing.T) {
	output, err := Runner{}.With("WHO=world").Output(context.Background(), "sh", "-c", "echo hello $WHO; echo noise >&2")
	require.NoError(t, err)
	assert.Equal(t, "hello world", output)
}

func TestInputReachesTheProgram(t *testing.T) {
	output, err := Runner{}.Input(context.Background(), strings.NewReader("abc"), "cat")
	require.NoError(t, err)
	assert.Equal(t, "abc", output)
}

func TestCancelledRunSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.ErrorIs(t, Runner{}.Run(ctx, "sleep", "10"), context.Canceled)
}

func TestTail(t *testing.T) {
	assert.Equal(t, "", Tail("\n", 3))
	assert.Equal(t, "  b\n  c", Tail("a\nb\nc\n", 2))
}
