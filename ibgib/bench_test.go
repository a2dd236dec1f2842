package ibgib_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/ibgib/ibgib-node/ibgib"
)

// frame622 is a frame as an application makes them; its stored form has 622 bytes.
func frame622(t testing.TB) ibgib.IbGib {
	t.Helper()
	const hash = "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"
	g, err := ibgib.New("comment 17 first draft of the report", ibgib.Object(
		ibgib.Member{Name: "n", Value: ibgib.Number(17)},
		ibgib.Member{Name: "text", Value: ibgib.String("the quick brown fox, and 49 characters in all now")},
		ibgib.Member{Name: "timestamp", Value: ibgib.String("Tue, 14 Nov 2023 22:14:50 GMT")},
		ibgib.Member{Name: "timestampMs", Value: ibgib.Number(149)},
	), ibgib.Rel8ns{
		{Name: "ancestor", Addrs: []ibgib.Addr{addr(t, "comment^gib")}},
		{Name: "dna", Addrs: []ibgib.Addr{addr(t, "mut8^"+hash)}},
		{Name: "past", Addrs: []ibgib.Addr{addr(t, "comment 16 first^"+hash)}},
		{Name: "tjp", Addrs: []ibgib.Addr{addr(t, "comment 0 first^"+hash)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// recordSets are the records that the benchmarks run over.
func recordSets(t testing.TB) map[string][]ibgib.IbGib {
	t.Helper()
	return map[string][]ibgib.IbGib{"frame622": {frame622(t)}, "space": readSpace(t)}
}

// readSpace imports the space in testdata.
func readSpace(t testing.TB) []ibgib.IbGib {
	t.Helper()
	var gs []ibgib.IbGib
	for _, line := range readSpaceLines(t) {
		g, err := ibgib.Import(line)
		if err != nil {
			t.Fatal(err)
		}
		gs = append(gs, g)
	}
	return gs
}

func readSpaceLines(t testing.TB) [][]byte {
	t.Helper()
	f, err := os.Open("testdata/spaces/a.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines [][]byte
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, ibgib.MaxSize)
	for scan.Scan() {
		lines = append(lines, bytes.Clone(scan.Bytes()))
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func benchmarkRecords(b *testing.B, do func(b *testing.B, g ibgib.IbGib)) {
	for _, name := range []string{"frame622", "space"} {
		gs := recordSets(b)[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var size int64
			n := 0
			for b.Loop() {
				g := gs[n%len(gs)]
				size += int64(g.Size())
				do(b, g)
				n++
			}
			b.SetBytes(size / int64(n))
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	benchmarkRecords(b, func(b *testing.B, g ibgib.IbGib) {
		if _, err := ibgib.Verify(g.Stored()); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkReference is what BenchmarkVerify is held against: SHA-256 over the
// parts that a gib is made of, and a scan of all JSON tokens of the same bytes.
func BenchmarkReference(b *testing.B) {
	in := bytes.NewReader(nil)
	dec := jsontext.NewDecoder(in)
	benchmarkRecords(b, func(b *testing.B, g ibgib.IbGib) {
		hashParts(g)
		in.Reset(g.Stored())
		dec.Reset(in)
		for {
			if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReferenceSHA256 is the hashing in BenchmarkReference alone.
func BenchmarkReferenceSHA256(b *testing.B) {
	benchmarkRecords(b, func(b *testing.B, g ibgib.IbGib) { hashParts(g) })
}

// hashParts hashes as many bytes in as many parts as the gib of g takes; ib and
// data stand for what lies around rel8ns.
func hashParts(g ibgib.IbGib) (sum [sha256.Size]byte) {
	stored := g.Stored()
	cut := bytes.LastIndex(stored, []byte(`,"rel8ns":`))
	if cut < 0 {
		cut = len(stored)
	}
	ib := len(g.Ib())
	head := len(`{"ib":"","gib":"","data":`) + ib + len(g.Gib())
	sum = sha256.Sum256(stored[:ib])
	if head < cut {
		sum = sha256.Sum256(stored[head:cut])
	}
	if cut < len(stored) {
		sum = sha256.Sum256(stored[cut+len(`,"rel8ns":`) : len(stored)-1])
	}
	var text [3 * 64]byte
	copy(text[:], sum[:])
	return sha256.Sum256(text[:])
}

func BenchmarkLoad(b *testing.B) {
	benchmarkRecords(b, func(b *testing.B, g ibgib.IbGib) {
		if _, err := ibgib.Load(g.Addr(), g.Stored()); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkLinks(b *testing.B) {
	benchmarkRecords(b, func(b *testing.B, g ibgib.IbGib) {
		for range g.Links() {
		}
	})
}

func BenchmarkData(b *testing.B) {
	benchmarkRecords(b, func(b *testing.B, g ibgib.IbGib) { g.Data() })
}

// BenchmarkImport reads canonical lines; BenchmarkImportForeign lines as the
// public implementation writes them, with another order of members.
func BenchmarkImport(b *testing.B) {
	benchmarkRecords(b, func(b *testing.B, g ibgib.IbGib) {
		if _, err := ibgib.Import(g.Stored()); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkImportForeign(b *testing.B) {
	lines := readSpaceLines(b)
	b.ReportAllocs()
	var size int64
	n := 0
	for b.Loop() {
		line := lines[n%len(lines)]
		size += int64(len(line))
		n++
		if _, err := ibgib.Import(line); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(size / int64(n))
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkNew(b *testing.B) {
	g := frame622(b)
	ib, data, rel8ns := g.Ib(), g.Data(), g.Rel8ns()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ibgib.New(ib, data, rel8ns); err != nil {
			b.Fatal(err)
		}
	}
}
