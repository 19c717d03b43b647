package rdb

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
)

// toldLines is how many of the last lines of the checking program an error has.
const toldLines = 5

// Check has redis-check-rdb read a file from begin to end: every object in it, and the checksum at the end. The program is the name or the
// path of redis-check-rdb. The error has the last lines of the program's output. The program needs memory for the largest value.
func Check(ctx context.Context, program, path string) error {
	output, err := process.Output(ctx, program, path)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("check the RDB file: %w", context.Cause(ctx))
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	lines = lines[max(0, len(lines)-toldLines):]
	return fmt.Errorf("%s does not accept the RDB file: %w: %s", program, err, strings.Join(lines, "; "))
}
