package main

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// style is a pair of colours: of a line with its text, and of the area in it.
type style struct{ line, fill string }

// The colours. Each role has one, in every picture.
var (
	plain    = style{"#3f4a5a", "#ffffff"}
	quiet    = style{"#8a94a3", "#f6f8fa"}
	master   = style{"#b4420a", "#fff1e6"}
	slave    = style{"#1f5fbf", "#eaf2ff"}
	sentinel = style{"#2f7a3d", "#e9f6ec"}
	api      = style{"#6a3fa0", "#f4eefb"}
	paused   = style{"#b4420a", "#ffe2cc"}
)

// textColour is that of ordinary words.
const textColour = "#1f2733"

// canvas collects the elements of an SVG picture.
type canvas struct {
	width, height int
	body          strings.Builder
	markers       map[string]bool
	title         string
}

func newCanvas(width, height int, title string) *canvas {
	return &canvas{width: width, height: height, title: title, markers: map[string]bool{}}
}

func (c *canvas) add(format string, args ...any) {
	fmt.Fprintf(&c.body, "  "+format+"\n", args...)
}

// box draws a rectangle with round corners.
func (c *canvas) box(x, y, w, h int, s style) {
	c.add(`<rect x="%d" y="%d" width="%d" height="%d" rx="8" fill="%s" stroke="%s" stroke-width="1.5"/>`, x, y, w, h, s.fill, s.line)
}

// frame draws a dashed rectangle around things that belong together.
func (c *canvas) frame(x, y, w, h int, name string) {
	c.add(`<rect x="%d" y="%d" width="%d" height="%d" rx="10" fill="%s" stroke="%s" stroke-width="1.2" stroke-dasharray="6 4"/>`,
		x, y, w, h, quiet.fill, quiet.line)
	c.text(x+14, y+22, name, words{size: 14, bold: true, colour: plain.line})
}

// words says how a text is set.
type words struct {
	size    int
	bold    bool
	mono    bool
	middle  bool // centred at x instead of beginning there
	colour  string
	covered bool // on a white strip, for a text that crosses lines
}

// text writes one line with its base line at y.
func (c *canvas) text(x, y int, text string, w words) {
	if w.size == 0 {
		w.size = 14
	}
	if w.colour == "" {
		w.colour = textColour
	}
	attributes := ""
	if w.bold {
		attributes += ` font-weight="bold"`
	}
	if w.mono {
		attributes += ` font-family="'DejaVu Sans Mono', Menlo, Consolas, monospace"`
	}
	if w.middle {
		attributes += ` text-anchor="middle"`
	}
	if w.covered {
		width := textWidth(text, w)
		left := x
		if w.middle {
			left = x - width/2
		}
		c.add(`<rect x="%d" y="%d" width="%d" height="%d" fill="#ffffff"/>`, left-4, y-w.size+1, width+8, w.size+4)
	}
	c.add(`<text x="%d" y="%d" font-size="%d" fill="%s"%s>%s</text>`, x, y, w.size, w.colour, attributes, escape(text))
}

// textWidth estimates how wide a line is: a little more than it will be.
func textWidth(text string, w words) int {
	perCharacter := 0.55
	if w.mono {
		perCharacter = 0.62
	} else if w.bold {
		perCharacter = 0.6
	}
	return int(float64(len([]rune(text))*w.size) * perCharacter)
}

// chip draws a label the way kubectl shows it.
func (c *canvas) chip(x, y int, text string, s style) {
	w := words{size: 13, mono: true, colour: s.line, bold: true}
	c.add(`<rect x="%d" y="%d" width="%d" height="24" rx="12" fill="%s" stroke="%s" stroke-width="1.5"/>`,
		x, y, textWidth(text, w)+22, s.fill, s.line)
	c.text(x+11, y+17, text, w)
}

// disk draws a volume.
func (c *canvas) disk(x, y int) {
	c.add(`<path d="M %d %d v 20 a 13 5 0 0 0 26 0 v -20" fill="#ffffff" stroke="%s" stroke-width="1.5"/>`, x, y, plain.line)
	c.add(`<ellipse cx="%d" cy="%d" rx="13" ry="5" fill="#ffffff" stroke="%s" stroke-width="1.5"/>`, x+13, y, plain.line)
}

// path draws a line along SVG path data; with an arrow at its end unless it is blunt.
func (c *canvas) path(data, colour string, dashed, blunt bool) {
	attributes := ""
	if dashed {
		attributes += ` stroke-dasharray="6 4"`
	}
	if !blunt {
		c.markers[colour] = true
		attributes += fmt.Sprintf(` marker-end="url(#arrow-%s)"`, strings.TrimPrefix(colour, "#"))
	}
	c.add(`<path d="%s" fill="none" stroke="%s" stroke-width="1.8"%s/>`, data, colour, attributes)
}

// arrow draws a straight line with an arrow at its end.
func (c *canvas) arrow(x1, y1, x2, y2 int, colour string) {
	c.path(fmt.Sprintf("M %d %d L %d %d", x1, y1, x2, y2), colour, false, false)
}

func (c *canvas) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif">`+"\n",
		c.width, c.height, c.width, c.height)
	fmt.Fprintf(&out, "  <title>%s</title>\n  <defs>\n", escape(c.title))
	for _, colour := range sorted(c.markers) {
		fmt.Fprintf(&out, `    <marker id="arrow-%s" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M 0 0 L 10 5 L 0 10 z" fill="%s"/></marker>`+"\n",
			strings.TrimPrefix(colour, "#"), colour)
	}
	fmt.Fprintf(&out, "  </defs>\n  <rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n%s</svg>\n", c.width, c.height, c.body.String())
	return out.String()
}

func escape(text string) string {
	var out strings.Builder
	// Writing to a strings.Builder cannot fail.
	_ = xml.EscapeText(&out, []byte(text))
	return out.String()
}
