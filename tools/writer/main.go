// Command writer is a client that writes numbered keys to Redis without a
// pause, keeps account of what was acknowledged and when, and reads all of it
// back at the end. It prints "writing" after the first acknowledgement and a
// Report, one line of JSON, as its last line.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	var config Config
	flag.StringVar(&config.Address, "address", "", "host:port of the master Service")
	flag.DurationVar(&config.Duration, "duration", 15*time.Second, "how long to write")
	flag.DurationVar(&config.Interval, "interval", 2*time.Millisecond, "pause between two writes")
	flag.StringVar(&config.Prefix, "prefix", fmt.Sprintf("writer:%d:", time.Now().UnixNano()), "prefix of the keys")
	flag.Parse()
	config.Password = os.Getenv("REDIS_PASS")
	if config.Address == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: writer -address HOST:PORT [-duration 15s] [-interval 2ms] [-prefix PREFIX]; password in REDIS_PASS")
		os.Exit(2)
	}
	config.Started = func() { fmt.Println("writing") }
	report, err := Run(context.Background(), config)
	if err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		os.Exit(1)
	}
}
