package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress shows on one line of a terminal how far long work has come. Where
// standard error is no terminal it writes nothing.
type progress struct {
	w     io.Writer // nil: show nothing
	cells int       // of a line of the terminal
	shown time.Time // when the line was last drawn
	width int       // of the line that is on the screen
}

// progressEvery is how often the line is drawn at most.
const progressEvery = 100 * time.Millisecond

func (c *cli) newProgress() *progress {
	if !isTerminal(c.err) {
		return &progress{}
	}
	p := &progress{w: c.err, cells: defaultCells}
	if width, _, err := term.GetSize(int(c.err.(*os.File).Fd())); err == nil && width > 0 {
		p.cells = width
	}
	return p
}

// defaultCells is the width of a terminal that does not tell.
const defaultCells = 80

// isTerminal reports whether a reader or writer is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// show draws the line anew, with a bar when total is known (positive).
func (p *progress) show(done, total int64, format string, args ...any) {
	if p.w == nil || time.Since(p.shown) < progressEvery {
		return
	}
	p.shown = time.Now()
	line := fmt.Sprintf(format, args...)
	if total > 0 {
		line = progressBar(done, total) + "  " + line
	}
	p.draw(line)
}

// draw draws a line, as much of it as there is room for: one that wraps could not
// be drawn over.
func (p *progress) draw(line string) {
	line = line[:min(len(line), p.cells-1)]
	fmt.Fprintf(p.w, "\r%-*s", p.width, line)
	p.width = len(line)
}

// clear takes the line away; it may be shown again.
func (p *progress) clear() {
	if p.w == nil || p.width == 0 {
		return
	}
	p.draw("")
	fmt.Fprint(p.w, "\r")
	p.width, p.shown = 0, time.Time{}
}

const barCells = 16

func progressBar(done, total int64) string {
	part := min(max(float64(done)/float64(total), 0), 1)
	full := int(part * barCells)
	return fmt.Sprintf("[%s%s] %3d %%", strings.Repeat("#", full), strings.Repeat(".", barCells-full), int(part*100))
}
