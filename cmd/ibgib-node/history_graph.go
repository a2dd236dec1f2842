package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

// logGraph draws a history with its branches.
func (c *cli) logGraph(ctx context.Context, addr ibgib.Addr, limit int) error {
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		frames := client.History(ctx, addr, limit)
		if c.json {
			return printList[node.HistoryFrame](c, frames, "", nil, nil)
		}
		out := bufio.NewWriter(c.out)
		var lanes lanes
		for f, err := range frames {
			if err != nil {
				return err
			}
			for _, line := range lanes.place(f.Addr, f.Parents) {
				text := line.text
				if line.frame {
					text = line.text + "  " + historyLine(f)
				}
				if _, err := fmt.Fprintln(out, text); err != nil {
					return err
				}
			}
		}
		return out.Flush()
	})
}

func historyLine(f node.HistoryFrame) string {
	var marks []string
	if f.Head {
		marks = append(marks, "head")
	}
	if f.Latest {
		marks = append(marks, "latest")
	}
	line := fmt.Sprintf("%s  %s  %-5s  %s", showN(f.N), showTime(f.Time), f.Kind, show(f.Addr))
	if len(marks) > 0 {
		line += "  (" + strings.Join(marks, ", ") + ")"
	}
	return line
}

// lanes are the columns of a drawing of a history, as far as it has come: each waits
// for the frame that it leads to.
type lanes []ibgib.Addr

// graphLine is one line of the drawing; frame tells that it is the frame's.
type graphLine struct {
	text  string
	frame bool
}

// place draws a frame: the lanes that lead to it come together, and one goes on to
// each of its parents.
func (l *lanes) place(addr ibgib.Addr, parents []ibgib.Addr) []graphLine {
	var lines []graphLine
	at := slices.Index(*l, addr)
	if at < 0 {
		at = len(*l)
		*l = append(*l, addr)
	}
	for {
		other := lastIndex(*l, addr)
		if other == at {
			break
		}
		lines = append(lines, graphLine{text: l.join(at, other)})
		*l = slices.Delete(*l, other, other+1)
	}
	lines = append(lines, graphLine{l.row(at), true})
	if len(parents) == 0 {
		*l = slices.Delete(*l, at, at+1)
		return lines
	}
	(*l)[at] = parents[0]
	for i, p := range parents[1:] {
		lines = append(lines, graphLine{text: l.fork(at + i)})
		*l = slices.Insert(*l, at+i+1, p)
	}
	return lines
}

func lastIndex(l []ibgib.Addr, a ibgib.Addr) int {
	for i, x := range slices.Backward(l) {
		if x == a {
			return i
		}
	}
	return -1
}

// row is the line with the frame in lane at.
func (l lanes) row(at int) string {
	cells := make([]string, len(l))
	for i := range cells {
		cells[i] = "|"
	}
	cells[at] = "*"
	return strings.Join(cells, " ")
}

// join is the line on which lane from ends in lane to, left of it.
func (l lanes) join(to, from int) string {
	var b strings.Builder
	for i := range l {
		switch {
		case i < from:
			b.WriteByte('|')
		case i > from:
			b.WriteByte('|')
		default:
			continue // its stroke stands before it
		}
		switch {
		case i+1 == from:
			b.WriteByte('/')
		case i >= to && i < from:
			b.WriteByte('_')
		case i < len(l)-1:
			b.WriteByte(' ')
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// fork is the line on which a lane begins right of lane at.
func (l lanes) fork(at int) string {
	line := strings.Repeat("| ", at) + "|\\"
	for range len(l) - at - 1 {
		line += " \\"
	}
	return line
}
