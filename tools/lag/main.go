// Command lag watches how far the replicas of a Redis master fall behind, until standard input ends; see package internal/lag. It prints
// "ready" after the first look, and a Report as one line of JSON at the end. Its arguments are host:port of all servers. The password is
// in REDIS_PASS.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/redis-ha/redis-ha/tools/internal/lag"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: lag HOST:PORT ...; password in REDIS_PASS")
		os.Exit(2)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	report, err := lag.Watch(ctx, os.Args[1:], os.Getenv("REDIS_PASS"), func() { fmt.Println("ready") })
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lag:", err)
		os.Exit(1)
	}
}
