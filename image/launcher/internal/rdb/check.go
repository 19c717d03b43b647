package rdb

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis-ha/redis-ha/image/launcher/internal/process"
)

// toldLines is how many of the last lines of the checking program an error has.
const toldLines = 5

// keysRead is how redis-check-rdb tells the number of keys that it has read.
var keysRead = regexp.MustCompile(`(?m)^\[info\] ([0-9]+) keys read$`)

// Check has redis-check-rdb read a file from begin to end: every object in it, and the checksum at the end. The program is the name or the
// path of redis-check-rdb. The error has the last lines of the program's output. The program needs memory for the largest value.
// Check gives the number of keys in the file, or -1 if the program does not tell it.
func Check(ctx context.Context, program, path string) (keys int64, err error) {
	output, err := process.Output(ctx, program, path)
	if err == nil {
		if told := keysRead.FindStringSubmatch(output); told != nil {
			keys, err = strconv.ParseInt(told[1], 10, 64)
			return keys, err
		}
		return -1, nil
	}
	if ctx.Err() != nil {
		return -1, fmt.Errorf("check the RDB file: %w", context.Cause(ctx))
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	lines = lines[max(0, len(lines)-toldLines):]
	return -1, fmt.Errorf("%s does not accept the RDB file: %w: %s", program, err, strings.Join(lines, "; "))
}
