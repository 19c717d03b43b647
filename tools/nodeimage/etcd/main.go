// Command etcd is the etcd server. It has a main of its own because the
// server's module cannot be installed by itself: it replaces its siblings by
// folders of its repository.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
