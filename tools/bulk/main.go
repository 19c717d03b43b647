// Command bulk loads much data into a Redis master as fast as it takes it; see package internal/bulk. It prints a Report as one
// line of JSON. The password is in REDIS_PASS.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis-ha/redis-ha/tools/internal/bulk"
)

func main() {
	var config bulk.Config
	flag.StringVar(&config.Address, "address", "", "host:port of the master Service")
	servers := flag.String("servers", "", "host:port of all servers, separated by commas")
	flag.IntVar(&config.Requests, "requests", 1_500_000, "values to set")
	flag.IntVar(&config.Size, "size", 1024, "bytes of a value")
	flag.IntVar(&config.Connections, "connections", 50, "connections that set values at once")
	flag.IntVar(&config.Pipeline, "pipeline", 16, "values that a connection sends before it waits for the answers")
	flag.StringVar(&config.Prefix, "prefix", fmt.Sprintf("bulk:%d:", time.Now().UnixNano()), "prefix of the keys")
	flag.Parse()
	if config.Address == "" || *servers == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: bulk -address HOST:PORT -servers HOST:PORT,... [-requests 1500000] [-size 1024] [-connections 50] [-pipeline 16]; password in REDIS_PASS")
		os.Exit(2)
	}
	config.Servers, config.Password = strings.Split(*servers, ","), os.Getenv("REDIS_PASS")
	report, err := bulk.Run(context.Background(), config)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bulk:", err)
		os.Exit(1)
	}
}
