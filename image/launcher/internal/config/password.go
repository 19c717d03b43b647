package config

import (
	"strings"
	"time"
	"unicode"
)

// PasswordSource says where the password of the release comes from, and how it changes.
type PasswordSource struct {
	// File holds the password. The kubelet replaces it when the Secret changes. Empty: the password is that of REDIS_PASS, and never changes.
	File string
	// Asked says that Redis and Sentinel ask for the password in File. Otherwise they ask for none, and File counts for nothing.
	Asked bool
	// Grace is how long an earlier password works beside the password in File, once all pods of the release use the password in File.
	Grace time.Duration
	// Trying gives the passwords that a node of the release may accept, the likeliest first. Package password makes it; nil: there is only one.
	Trying func() []string
}

// Passwords is what Redis and Sentinel go by while one password takes the place of another. Package password makes it.
type Passwords struct {
	// Link is what replicas, sentinels and launchers use among themselves; empty: none.
	Link string
	// Accepted are the passwords that the default user has: rules of ACL SETUSER.
	Accepted []string
}

// passwordSource reads where the password comes from.
func (r *reader) passwordSource() PasswordSource {
	s := PasswordSource{
		File:  r.env["LAUNCHER_PASSWORD_FILE"],
		Grace: time.Duration(r.number("LAUNCHER_PASSWORD_GRACE_SECONDS", 3600, 1, 31536000)) * time.Second,
	}
	s.Asked = r.boolean("LAUNCHER_AUTH", s.File != "") && s.File != ""
	return s
}

// checkPassword refuses a password in the environment that nobody can use.
func (r *reader) checkPassword(c *Config) {
	if c.PasswordSource.File != "" {
		c.Password = "" // a pod that has run for long may have an earlier one in its environment
		return
	}
	if password, set := r.env["REDIS_PASS"]; set && password == "" {
		r.problem("REDIS_PASS is set and empty: put a password into the Secret it comes from, or remove the variable")
	}
	if strings.ContainsFunc(c.Password, unicode.IsControl) {
		r.problem("REDIS_PASS has a control character: use printable characters only")
	}
}

// LinkPassword is what replicas, sentinels and launchers use among themselves; empty: none.
func (c Config) LinkPassword() string {
	if c.Passwords != nil {
		return c.Passwords.Link
	}
	return c.Password
}
