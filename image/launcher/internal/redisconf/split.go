package redisconf

import (
	"errors"
	"strconv"
	"strings"
)

var errUnbalanced = errors.New("unbalanced quotes")

// split reads a line of a configuration file by the rules of Redis' own
// sdssplitargs: words between blanks, "…" with escapes, '…' with \' only, and
// a closing quote must be followed by a blank.
func split(line string) ([]string, error) {
	var words []string
	for i := 0; ; {
		for i < len(line) && blank(line[i]) {
			i++
		}
		if i == len(line) {
			return words, nil
		}
		word, next, err := oneWord(line, i)
		if err != nil {
			return nil, err
		}
		words, i = append(words, word), next
	}
}

func oneWord(line string, i int) (string, int, error) {
	var word strings.Builder
	for quote := byte(0); ; i++ {
		if i == len(line) {
			if quote != 0 {
				return "", 0, errUnbalanced
			}
			return word.String(), i, nil
		}
		c := line[i]
		switch {
		case quote == 0 && blank(c):
			return word.String(), i, nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0:
			word.WriteByte(c)
		case c == quote:
			if i+1 < len(line) && !blank(line[i+1]) {
				return "", 0, errUnbalanced
			}
			return word.String(), i + 1, nil
		case c == '\\' && i+1 < len(line) && (quote == '"' || line[i+1] == '\''):
			i += escaped(line[i+1:], quote, &word)
		default:
			word.WriteByte(c)
		}
	}
}

// escaped writes what follows a backslash and says how long it was.
func escaped(rest string, quote byte, word *strings.Builder) int {
	if quote == '"' && rest[0] == 'x' && len(rest) >= 3 {
		if n, err := strconv.ParseUint(rest[1:3], 16, 8); err == nil {
			word.WriteByte(byte(n))
			return 3
		}
	}
	c := rest[0]
	if i := strings.IndexByte("nrtba", c); quote == '"' && i >= 0 {
		c = "\n\r\t\b\a"[i]
	}
	word.WriteByte(c)
	return 1
}

func blank(c byte) bool { return strings.IndexByte(" \t\n\v\f\r\x00", c) >= 0 }
