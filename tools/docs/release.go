package main

import (
	"fmt"
	"maps"
	"slices"
)

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// service is a box of the middle column of the overview.
type service struct {
	y, h     int
	names    []string
	port     string
	selector string
	style    style
}

// release draws clients, Services, pods and what the API server holds.
func release() string {
	c := newCanvas(1080, 716, "A release of redis-ha: clients, Services that select on the label redis-role, the pods, and the Kubernetes API that holds labels and Leases")

	c.frame(610, 16, 454, 296, "Deployment redis-ha-redis-ha-server")
	serverPod(c, 50, "master", master)
	serverPod(c, 136, "slave", slave)
	serverPod(c, 222, "slave", slave)
	c.frame(610, 336, 454, 218, "Deployment redis-ha-redis-ha-sentinel")
	for i := range 3 {
		sentinelPod(c, 370+60*i)
	}

	// Replication and watching, at the right edge of the pods.
	c.path("M 986 76 H 1020 V 172 H 990", master.line, false, false)
	c.path("M 1020 172 V 258 H 990", master.line, false, false)
	c.path("M 950 370 V 316", sentinel.line, true, false)
	c.text(830, 330, "watch, fail over", words{size: 13, colour: sentinel.line, covered: true})
	c.add(`<rect x="990" y="112" width="62" height="18" fill="%s"/>`, quiet.fill)
	c.text(1021, 126, "replicates", words{size: 12, colour: master.line, middle: true})

	services := []service{
		{46, 100, []string{"redis-ha-redis-ha-master-svc", "redis-ha-redis-ha"}, "6379", "redis-role=master", master},
		{172, 80, []string{"redis-ha-redis-ha-slave-svc"}, "6379", "redis-role=slave", slave},
		{400, 80, []string{"redis-ha-redis-ha-sentinel"}, "26379", "redis-role=sentinel", sentinel},
	}
	for _, s := range services {
		drawService(c, s)
	}
	c.arrow(524, 84, 622, 84, master.line)
	c.path("M 524 204 C 570 204 580 172 622 172", slave.line, false, false)
	c.path("M 524 220 C 570 220 580 258 622 258", slave.line, false, false)
	c.path("M 524 430 C 570 430 580 394 622 394", sentinel.line, false, false)
	c.path("M 524 442 C 570 442 580 454 622 454", sentinel.line, false, false)
	c.path("M 524 454 C 570 454 580 514 622 514", sentinel.line, false, false)

	client(c, 60, "a client that writes", "", master)
	client(c, 176, "a client that reads", "", slave)
	client(c, 404, "a client that speaks", "Sentinel", sentinel)
	c.arrow(178, 96, 252, 96, master.line)
	c.arrow(178, 212, 252, 212, slave.line)
	c.arrow(178, 440, 252, 440, sentinel.line)

	c.box(256, 596, 808, 104, api)
	c.text(276, 622, "Kubernetes API", words{size: 15, bold: true, colour: api.line})
	c.text(276, 648, "pod labels redis-role, podIP, runID: each launcher writes those of its own pod", words{})
	c.text(276, 670, "Lease …-master: the record (who is master, generation, fence)", words{})
	c.text(276, 690, "Lease …-sentinels: which pod holds which sentinel identity", words{})
	c.path("M 770 558 V 592", api.line, false, false)
	c.path("M 806 596 V 560", api.line, false, false)
	c.text(634, 582, "labels and Leases", words{size: 13, colour: api.line})
	c.text(820, 582, "list and watch of the pods", words{size: 13, colour: api.line})
	return c.String()
}

func client(c *canvas, y int, first, second string, s style) {
	c.box(16, y, 162, 72, quiet)
	if second == "" {
		c.text(97, y+41, first, words{size: 14, middle: true})
		return
	}
	c.text(97, y+32, first, words{size: 14, middle: true})
	c.text(97, y+52, second, words{size: 14, middle: true, bold: true, colour: s.line})
}

func drawService(c *canvas, s service) {
	c.box(256, s.y, 268, s.h, s.style)
	for i, name := range s.names {
		c.text(270, s.y+24+22*i, name, words{size: 14, bold: true})
	}
	c.text(270, s.y+s.h-30, "Service, port "+s.port, words{size: 13})
	c.text(270, s.y+s.h-12, "selects "+s.selector, words{size: 13, mono: true, colour: s.style.line})
}

func serverPod(c *canvas, y int, role string, s style) {
	c.box(626, y, 360, 72, plain)
	c.text(642, y+26, "launcher (PID 1)", words{size: 14})
	c.path(fmt.Sprintf("M 758 %d H 788", y+21), plain.line, false, false)
	c.text(798, y+26, "redis-server", words{size: 14, bold: true})
	c.chip(640, y+38, "redis-role="+role, s)
	c.disk(934, y+22)
	c.text(947, y+62, "volume", words{size: 12, middle: true})
}

func sentinelPod(c *canvas, y int) {
	c.box(626, y, 390, 48, plain)
	c.text(642, y+29, "launcher", words{size: 14})
	c.path(fmt.Sprintf("M 706 %d H 728", y+24), plain.line, false, false)
	c.text(736, y+29, "sentinel", words{size: 14, bold: true})
	c.chip(810, y+12, "redis-role=sentinel", sentinel)
}
