package loopback

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestContainerIsAPIDNamespaceThatDiesWithItsFirstProcess(t *testing.T) {
	if !canContain() {
		t.Log("this user may not create PID namespaces: the tests kill what the launcher started themselves")
		return
	}
	real := launcherBinary
	defer func() { launcherBinary = real }()
	launcherBinary = "/bin/sh"
	text := &output{}
	process, err := startProcess(nil, text, "-c", `echo "I am $$ of $(ls -d /proc/[0-9]* | wc -l)"; sleep 1000 & sleep 1000`)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, settle, "two sleeping children", func() error { return sleeping(process, 2) })
	eventually(t, settle, "the words of process 1", func() error {
		if said := text.last(0); !strings.Contains(said, "I am 1 of ") {
			return fmt.Errorf("the program said %q", said)
		}
		return nil
	})
	below := descendants(process.command.Process.Pid)
	if err := process.signal(9); err != nil {
		t.Fatal(err)
	}
	<-process.exited
	eventually(t, 5*time.Second, "the end of the children", func() error { return noneOf(below) })
}
