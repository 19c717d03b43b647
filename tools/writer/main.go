// Command writer runs a client that writes without a pause; see package
// internal/writer. It prints "writing" after the first acknowledgement, with
// -progress a Progress every 200 ms, and a Report as its last line; both are
// one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/certfiles"
	"github.com/redis-ha/redis-ha/tools/internal/writer"
)

// progressEvery is the time between two lines of progress.
const progressEvery = 200 * time.Millisecond

func main() {
	var config writer.Config
	flag.StringVar(&config.Address, "address", "", "host:port of the master Service, or of the sentinels' with -master")
	flag.StringVar(&config.Master, "master", "", "name of the master at the sentinels; the client then asks them, with go-redis' default settings")
	flag.DurationVar(&config.Duration, "duration", 15*time.Second, "how long to write")
	flag.DurationVar(&config.Interval, "interval", 2*time.Millisecond, "pause between two writes")
	flag.StringVar(&config.Prefix, "prefix", fmt.Sprintf("writer:%d:", time.Now().UnixNano()), "prefix of the keys")
	flag.IntVar(&config.Replicas, "replicas", 0, "replicas that must have a write before it counts as acknowledged (WAIT)")
	untilStdinEnds := flag.Bool("until-stdin-ends", false, "stop at the end of standard input, if that comes before -duration has passed")
	progress := flag.Bool("progress", false, "print a line of progress every 200 ms")
	var encryption certfiles.Flags
	encryption.Register()
	flag.Parse()
	config.Password = os.Getenv("REDIS_PASS")
	if config.Address == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: writer -address HOST:PORT [-master NAME] [-duration 15s] [-interval 2ms] [-prefix PREFIX] [-replicas 0] [-until-stdin-ends] [-progress] [-tls-dir DIR -tls-name NAME]; password in REDIS_PASS")
		os.Exit(2)
	}
	var err error
	if config.TLS, err = encryption.Load(); err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		os.Exit(2)
	}
	config.Started = func() { fmt.Println("writing") }
	if *progress {
		config.Progress, config.ProgressEvery = printLine[writer.Progress], progressEvery
	}
	if *untilStdinEnds {
		stop := make(chan struct{})
		config.Stop = stop
		go func() {
			defer close(stop)
			_, _ = io.Copy(io.Discard, os.Stdin)
		}()
	}
	report, err := writer.Run(context.Background(), config)
	if err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		os.Exit(1)
	}
	printLine(report)
}

// printLine prints one line of JSON.
func printLine[T any](value T) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		os.Exit(1)
	}
}
