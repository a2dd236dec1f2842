package main

import (
	"bytes"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"
)

func TestPrintList(t *testing.T) {
	type item struct {
		A string `json:"a"`
	}
	row := func(i item) []string { return []string{i.A, "x"} }
	broken := errors.New("broken")
	for _, c := range []struct {
		name        string
		json        bool
		items       iter.Seq2[item, error]
		out, stderr string
		err         error
	}{
		{"json none", true, each[item](nil), "[]\n", "", nil},
		{"json", true, each([]item{{"1"}, {"\u202e"}}), "[{\"a\":\"1\"},\n{\"a\":\"\\u202e\"}]\n", "", nil},
		{"none", false, each[item](nil), "", "nothing\n", nil},
		{"table", false, each([]item{{"1"}, {"long"}}), "HEAD  X\n1     x\nlong  x\n", "", nil},
		{"error", true, func(yield func(item, error) bool) { yield(item{}, broken) }, "", "", broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, stderr bytes.Buffer
			cl := &cli{out: &out, err: &stderr, json: c.json}
			err := printList(cl, c.items, "nothing", []string{"HEAD", "X"}, row)
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if out.String() != c.out || stderr.String() != c.stderr {
				t.Errorf("printed %q and %q, want %q and %q", out.String(), stderr.String(), c.out, c.stderr)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	var screen bytes.Buffer
	p := &progress{w: &screen, cells: 40}
	p.show(50, 200, "%d read", 7)
	p.show(60, 200, "too soon")
	p.shown = time.Time{}
	p.show(0, 0, "short")
	p.shown = time.Time{}
	p.show(0, 0, "%s", strings.Repeat("x", 60)) // wider than the screen
	p.clear()
	p.clear()
	const bar = "[####............]  25 %  7 read"
	want := "\r" + bar + "\rshort" + strings.Repeat(" ", len(bar)-len("short")) + "\r" + strings.Repeat("x", 39) + "\r" + strings.Repeat(" ", 39) + "\r"
	if got := screen.String(); got != want {
		t.Errorf("drew %q, want %q", got, want)
	}

	none := &progress{}
	none.show(1, 2, "x")
	none.clear()
}

// Into a buffer, a pipe or a file no progress is drawn.
func TestNoProgressWithoutTerminal(t *testing.T) {
	var stderr bytes.Buffer
	c := &cli{err: &stderr}
	if p := c.newProgress(); p.w != nil {
		t.Error("progress on no terminal")
	}
}

func TestShowBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 1536: "1.5 kB", 999_949: "999.9 kB",
		999_999: "1.0 MB", 2_000_000_000: "2.0 GB", 5_000_000_000_000_000: "5000.0 TB",
	} {
		if got := showBytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
