package redisnode

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Accepts says whether a node lets in who has a password, or who has none where it is empty. Reach says how far the question got: without an
// answer nothing is known.
func (n *Node) Accepts(ctx context.Context) (accepts bool, reach Reach) {
	_, err := n.Do(ctx, "PING")
	switch {
	case errors.Is(err, ErrPassword):
		return false, Answered
	case errors.Is(err, ErrFull):
		return false, Unknown
	}
	return ReachOf(err) == Answered, ReachOf(err)
}

// Passwords gives what the default user of a node accepts: the SHA-256 sums of passwords, in hexadecimal digits, or that it asks for none.
func (n *Node) Passwords(ctx context.Context) (sums []string, none bool, err error) {
	reply, err := n.Do(ctx, "ACL", "GETUSER", DefaultUser)
	if err != nil {
		return nil, false, err
	}
	list := asList(reply)
	for i := 0; i+1 < len(list); i += 2 {
		for _, value := range asList(list[i+1]) {
			switch text := fmt.Sprint(value); fmt.Sprint(list[i]) {
			case "flags":
				none = none || text == "nopass"
			case "passwords":
				sums = append(sums, strings.TrimPrefix(text, "#"))
			}
		}
	}
	return sums, none, nil
}

// SetPasswords has the default user accept other passwords, given as rules of ACL SETUSER. Connections that are open stay.
func (n *Node) SetPasswords(ctx context.Context, rules []string) error {
	args := []any{"ACL", "SETUSER", DefaultUser}
	for _, rule := range rules {
		args = append(args, rule)
	}
	_, err := n.Do(ctx, args...)
	return err
}

// SetSentinelPassword has a sentinel use another password for servers and for other sentinels. Empty: none.
func (n *Node) SetSentinelPassword(ctx context.Context, name, password string) error {
	user := UserFor(password)
	for _, args := range [][]any{
		{"SENTINEL", "SET", name, "auth-user", user, "auth-pass", password},
		{"SENTINEL", "CONFIG", "SET", "sentinel-user", user},
		{"SENTINEL", "CONFIG", "SET", "sentinel-pass", password},
	} {
		if _, err := n.Do(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// UserFor gives the user that goes with a password: the default user, or none without a password. A Redis that asks for no password accepts a
// password only together with the name of the user.
func UserFor(password string) string {
	if password == "" {
		return ""
	}
	return DefaultUser
}
