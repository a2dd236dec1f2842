package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func TestStreams(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(vectors, "a.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Count(file, []byte("\n"))
	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			var last node.ImportProgress
			refused := 0
			res, err := c.Import(t.Context(), io.MultiReader(bytes.NewReader(file), strings.NewReader("{}\n[]\n")), func(p node.ImportProgress) {
				if p.Refused != nil {
					refused++
				}
				last = p
			})
			if err != nil {
				t.Fatal(err)
			}
			if res.Read != lines+2 || res.Stored != lines || len(res.Refused) != 2 || refused != 2 || last.Read != res.Read {
				t.Errorf("result %+v, %d refused lines reported, last progress %+v", res, refused, last)
			}
			var out bytes.Buffer
			exp, err := c.Export(t.Context(), &out, nil, true)
			if err != nil {
				t.Fatal(err)
			}
			if exp.IbGibs != lines || exp.Bytes != int64(out.Len()) || bytes.Count(out.Bytes(), []byte("\n")) != lines {
				t.Errorf("export %+v, got %d bytes", exp, out.Len())
			}

			// A large bytes payload passes both ways.
			g, err := ibgib.NewBytes("large", bytes.Repeat([]byte{0xff, 0, 1}, 2<<20), nil)
			if err != nil {
				t.Fatal(err)
			}
			if res, err := c.Import(t.Context(), bytes.NewReader(g.AppendJSON(nil)), nil); err != nil || res.Stored != 1 {
				t.Errorf("large: %+v, %v", res, err)
			}
			if got, err := c.Get(t.Context(), g.Addr()); err != nil || !bytes.Equal(got.Stored(), g.Stored()) {
				t.Errorf("large: differs, %v", err)
			}
			out.Reset()
			if _, err := c.Export(t.Context(), &out, []ibgib.Addr{g.Addr()}, false); err != nil || !bytes.Equal(out.Bytes(), append(g.AppendJSON(nil), '\n')) {
				t.Errorf("large export: differs, %v", err)
			}

			// Failures of the streams and of what the caller handed in.
			_, err = c.Import(t.Context(), io.MultiReader(strings.NewReader("\x1f\x8b"), zeros(64<<20)), nil)
			wantCode(t, err, api.CodeUnsupported)
			broken := errors.New("broken disk")
			if _, err = c.Import(t.Context(), io.MultiReader(bytes.NewReader(file), failing{broken}), nil); !errors.Is(err, broken) {
				t.Errorf("import from a broken reader: %v", err)
			}
			if _, err = c.Export(t.Context(), failing{broken}, nil, true); !errors.Is(err, broken) {
				t.Errorf("export to a broken writer: %v", err)
			}
			_, err = c.Export(t.Context(), io.Discard, nil, false)
			wantCode(t, err, api.CodeBadRequest)
		})
	}
}

// zeros is a reader of n lines of blanks.
func zeros(n int64) io.Reader { return io.LimitReader(blanks{}, n) }

type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// An import from a reader that gives nothing ends when the caller stops it.
func TestCancelImport(t *testing.T) {
	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			stuck, write := io.Pipe()
			defer write.Close()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() {
				_, err := c.Import(ctx, stuck, nil)
				ended <- err
			}()
			if _, err := io.WriteString(write, "the only line\n"); err != nil {
				t.Fatal(err)
			}
			cancel()
			wantCode(t, <-ended, api.CodeCanceled)
		})
	}
}
