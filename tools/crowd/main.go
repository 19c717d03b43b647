// Command crowd runs many clients that each write now and then; see package internal/crowd. It prints "ready" when every client
// has written, and a Report as its last line when standard input ends. The password is in REDIS_PASS.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/crowd"
)

func main() {
	var config crowd.Config
	flag.StringVar(&config.Address, "address", "", "host:port of the master Service")
	flag.IntVar(&config.Clients, "clients", 4000, "how many")
	flag.DurationVar(&config.Every, "every", 500*time.Millisecond, "time between two writes of one client")
	flag.StringVar(&config.Prefix, "prefix", fmt.Sprintf("crowd:%d:", time.Now().UnixNano()), "prefix of the keys")
	flag.Parse()
	if config.Address == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: crowd -address HOST:PORT [-clients 4000] [-every 500ms]; password in REDIS_PASS")
		os.Exit(2)
	}
	config.Password, config.Ready = os.Getenv("REDIS_PASS"), func() { fmt.Println("ready") }
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	report, err := crowd.Run(ctx, config)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}
