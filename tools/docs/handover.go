package main

import "fmt"

// lane is one participant of a sequence diagram.
type lane struct {
	x     int
	lines [2]string
	style style
}

// The lanes of the hand-over, from left to right.
var (
	laneClient      = lane{70, [2]string{"client", ""}, quiet}
	laneOldRedis    = lane{222, [2]string{"old master's", "redis-server"}, master}
	laneOldLauncher = lane{428, [2]string{"old master's", "launcher"}, master}
	laneSentinel    = lane{602, [2]string{"one", "sentinel"}, sentinel}
	laneNewRedis    = lane{760, [2]string{"replica's", "redis-server"}, slave}
	laneNewLauncher = lane{920, [2]string{"replica's", "launcher"}, slave}
	laneAPI         = lane{1080, [2]string{"Kubernetes", "API, kubelet"}, api}
)

// handOver draws the steps of a planned hand-over.
func handOver() string {
	c := newCanvas(1170, 960, "A planned hand-over, step by step, from TERM to the exit of the old master")
	lanes := []lane{laneClient, laneOldRedis, laneOldLauncher, laneSentinel, laneNewRedis, laneNewLauncher, laneAPI}
	for _, l := range lanes {
		c.path(line(l.x, 70, l.x, 940), quiet.line, true, true)
		c.box(l.x-64, 16, 128, 54, l.style)
		if l.lines[1] == "" {
			c.text(l.x, 48, l.lines[0], words{middle: true, bold: true})
			continue
		}
		c.text(l.x, 39, l.lines[0], words{middle: true, bold: true})
		c.text(l.x, 58, l.lines[1], words{middle: true, bold: true})
	}
	bar(c, laneOldRedis, 242, 540, paused)
	bar(c, laneOldLauncher, 584, 918, slave)

	message(c, 112, laneAPI, laneOldLauncher, "1. the pod is deleted; the kubelet sends TERM", plain)
	message(c, 158, laneOldLauncher, laneAPI, "2. record in the Lease: this master is fenced, “hand-over”", api)
	message(c, 204, laneOldLauncher, laneSentinel, "3. ask for the votes in a new epoch", master)
	message(c, 250, laneOldLauncher, laneOldRedis, "4. CLIENT PAUSE … WRITE", master)
	message(c, 296, laneClient, laneOldRedis, "a write waits", quiet)
	message(c, 342, laneOldLauncher, laneNewRedis, "5. read the offset, then ask the best replica until it has reached it", master)
	message(c, 388, laneOldLauncher, laneNewRedis, "6. REPLICAOF NO ONE; the other replicas follow it", master)
	message(c, 434, laneOldLauncher, laneSentinel, "7. announce it in that epoch: +switch-master", master)
	message(c, 480, laneOldLauncher, laneOldRedis, "8. CONFIG SET port 0; the launcher listens", master)
	message(c, 526, laneOldLauncher, laneOldRedis, "9. CLIENT KILL, SIGKILL", master)
	message(c, 572, laneOldRedis, laneClient, "the connection ends", quiet)
	message(c, 618, laneClient, laneOldLauncher, "connects again, and still arrives here", plain)
	message(c, 650, laneOldLauncher, laneNewRedis, "passed on: the write is carried out", plain)
	message(c, 696, laneNewLauncher, laneAPI, "10. redis-role=master", slave)
	c.text(laneNewLauncher.x, 722, "role master, and the record", words{size: 12, middle: true, covered: true})
	c.text(laneNewLauncher.x, 738, "says its predecessor is fenced", words{size: 12, middle: true, covered: true})
	message(c, 770, laneNewLauncher, laneAPI, "11. record: master", slave)
	message(c, 816, laneOldLauncher, laneAPI, "12. remove redis-role, as soon as the successor has it", master)
	message(c, 872, laneClient, laneNewRedis, "", plain)
	c.text((laneClient.x+laneOldLauncher.x)/2, 864, "the Service leads to the new master now", words{size: 13, middle: true, covered: true})
	message(c, 922, laneOldLauncher, laneClient, "13. ends what it passed on, one by one; exit 0", quiet)
	return c.String()
}

// bar marks a time in a lane.
func bar(c *canvas, l lane, from, to int, s style) {
	c.add(`<rect x="%d" y="%d" width="12" height="%d" fill="%s" stroke="%s"/>`, l.x-6, from, to-from, s.fill, s.line)
}

// message draws an arrow between two lanes, with its text above it.
func message(c *canvas, y int, from, to lane, text string, s style) {
	x1, x2 := from.x, to.x
	if x1 < x2 {
		x1, x2 = x1+6, x2-6
	} else {
		x1, x2 = x1-6, x2+6
	}
	// The text comes first: its strip must not hide the arrow's head.
	if text != "" {
		c.text((x1+x2)/2, y-8, text, words{size: 13, middle: true, covered: true})
	}
	c.path(line(x1, y, x2, y), s.line, false, false)
}

func line(x1, y1, x2, y2 int) string { return fmt.Sprintf("M %d %d L %d %d", x1, y1, x2, y2) }
