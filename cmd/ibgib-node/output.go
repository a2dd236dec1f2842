package main

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// print writes a result: as JSON with --json, else as human writes it.
func (c *cli) print(result any, human func(w io.Writer)) error {
	out := bufio.NewWriter(c.out)
	if c.json {
		text, err := toJSON(result)
		if err != nil {
			return err
		}
		out.Write(text)
	} else {
		human(out)
	}
	return out.Flush()
}

// printList writes items as they come: with --json as one array with an item a
// line, else as rows of a table under a header. The last column takes text of
// any width; empty is printed to standard error when there are no items.
func printList[T any](c *cli, items iter.Seq2[T, error], empty string, header []string, row func(T) []string) error {
	out := bufio.NewWriter(c.out)
	if !c.json {
		table := newTable(out, header...)
		for item, err := range items {
			if err != nil {
				return err
			}
			table.row(row(item)...)
		}
		if table.rows == 0 {
			fmt.Fprintln(c.err, empty)
		}
		table.end()
		return out.Flush()
	}
	sep := "["
	for item, err := range items {
		if err != nil {
			return err
		}
		text, err := toJSON(item)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s%s", sep, strings.TrimSuffix(string(text), "\n")); err != nil {
			return err
		}
		sep = ",\n"
	}
	if sep == "[" {
		fmt.Fprint(out, "[")
	}
	fmt.Fprintln(out, "]")
	return out.Flush()
}

// table writes aligned columns. It keeps tableBlock rows in memory to measure
// them, so a long table is aligned in blocks.
type table struct {
	tab    *tabwriter.Writer
	header []string
	rows   int
}

const tableBlock = 1000

func newTable(w io.Writer, header ...string) *table {
	return &table{tab: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), header: header}
}

func (t *table) row(cells ...string) {
	if t.rows == 0 && len(t.header) > 0 {
		fmt.Fprintln(t.tab, strings.Join(t.header, "\t"))
	}
	fmt.Fprintln(t.tab, strings.Join(cells, "\t"))
	if t.rows++; t.rows%tableBlock == 0 {
		t.tab.Flush()
	}
}

func (t *table) end() { t.tab.Flush() }

// show returns an address for a person, whole, so that it can be copied.
func show(a ibgib.Addr) string {
	if a.IsZero() {
		return "-"
	}
	return printable(a.String())
}

// showN returns the number of a frame; - if the timeline does not count.
func showN(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// showTime returns an instant in UTC to the second; - for the zero time.
func showTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// showDuration returns a length of time in two or three digits.
func showDuration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// showBytes returns a size in decimal units.
func showBytes[N int64 | uint64](n N) string {
	size, unit := float64(n), 0
	for size >= 999.95 && unit < 4 {
		size /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %cB", size, " kMGT"[unit])
}

// count returns a number with its noun: "1 ibGib", "2 ibGibs".
func count[N int | int64 | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// each yields the items of a list.
func each[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range list {
			if !yield(item, nil) {
				return
			}
		}
	}
}
