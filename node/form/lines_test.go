package form_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/node/form"
)

// A line that is too long is passed over, and blank ones are not told of.
func TestLineReaderPassesOverLongLines(t *testing.T) {
	const limit = 100_001 // with its end
	long := strings.Repeat("x", limit)
	r := form.NewLineReader(strings.NewReader("a\n"+long+"\n"+long[1:]+"\n\n"+long+long+"\nz"), limit)
	for _, want := range []form.Item{
		{Line: 1, Text: []byte("a")}, {Line: 2, TooLong: true}, {Line: 3, Text: []byte(long[1:])},
		{Line: 5, TooLong: true}, {Line: 6, Text: []byte("z")},
	} {
		got, err := r.Next()
		if err != nil || got.Line != want.Line || got.TooLong != want.TooLong || string(got.Text) != string(want.Text) {
			t.Fatalf("line %d, too long %t, %d bytes, %v; want line %d", got.Line, got.TooLong, len(got.Text), err, want.Line)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end %v", err)
	}
}

// Where reading fails, the item says in which line.
func TestLineReaderSaysWhereItFails(t *testing.T) {
	broken := errors.New("broken")
	r := form.NewLineReader(io.MultiReader(strings.NewReader("a\nb"), failing{broken}), 100)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if item, err := r.Next(); !errors.Is(err, broken) || item.Line != 2 {
		t.Errorf("line %d, %v", item.Line, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// An endless line costs no more memory than the longest line that is allowed.
func TestLineReaderMemoryIsBounded(t *testing.T) {
	const limit = 1 << 20
	r := form.NewLineReader(io.LimitReader(endless{}, 512<<20), limit)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if item, err := r.Next(); err != nil || !item.TooLong {
		t.Fatal(item.TooLong, err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 10*limit {
		t.Errorf("%d bytes allocated for a line of at most %d", used, limit)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
