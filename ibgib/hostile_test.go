package ibgib_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

// allocated runs f and returns the bytes that it allocated, freed ones included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// record wraps data in a record whose gib is wrong, so that no gate takes it.
func record(data string) []byte {
	return []byte(`{"ib":"x","gib":"` + hashA + `","data":` + data + `}`)
}

func members(n int, order func(i int) int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"m%d":0`, order(i))
	}
	return "{" + b.String() + "}"
}

// What a hostile input makes us allocate is bounded by its size.
func TestHostileInputCostsBoundedMemory(t *testing.T) {
	const size = 1 << 19
	const many = 40_000
	down := func(i int) int { return many - i }
	shuffled := func(i int) int { return i * 7919 % many }
	for _, c := range []struct {
		name string
		raw  []byte
	}{
		{"open arrays", []byte(strings.Repeat("[", size))},
		{"open objects", []byte(strings.Repeat(`{"a":`, size/5))},
		{"open arrays as data", record(strings.Repeat("[", size-200))},
		{"digits", record(strings.Repeat("9", 1<<20))},
		{"fraction", record("0." + strings.Repeat("9", 1<<20))},
		{"zeros and a digit", record("0." + strings.Repeat("0", 1<<20) + "1")},
		{"huge exponent", record("1e999999")},
		{"exponent of a megabyte", record("1e" + strings.Repeat("9", 1<<20))},
		{"string", record(`"` + strings.Repeat("a", size-200) + `"`)},
		{"open string", record(`"` + strings.Repeat("a", size))},
		{"string of escapes", record(`"` + strings.Repeat(`\u0041`, size/6-50) + `"`)},
		{"string of lone surrogates", record(`"` + strings.Repeat(`\ud800`, size/6-50) + `"`)},
		{"string of backslashes", record(`"` + strings.Repeat(`\\`, size/2-100) + `"`)},
		{"short numbers that print long", record("[" + strings.Repeat("1e20,", size/5-50) + "1]")},
		{"empty arrays", record("[" + strings.Repeat("[],", size/3-100) + "[]]")},
		{"empty objects", record("[" + strings.Repeat("{},", size/3-100) + "{}]")},
		{"small objects", record("[" + strings.Repeat(`{"a":0},`, size/8-50) + "0]")},
		{"members in order", record(members(many, func(i int) int { return many + i }))},
		{"members in reverse", record(members(many, down))},
		{"members shuffled", record(members(many, shuffled))},
		{"members shuffled inside an array", record("[" + members(many, shuffled) + "]")},
		{"duplicate at the end", record(strings.TrimSuffix(members(many, shuffled), "}") + `,"m5":0}`)},
		{"duplicate at the end inside an array", record("[" + strings.TrimSuffix(members(many, shuffled), "}") + `,"m5":0}]`)},
		{"unsorted at every level", record(strings.Repeat(`{"b":0,"c":0,"a":`, 62) + members(many/2, down) + strings.Repeat("}", 62))},
		{"long names with a common beginning", record("{" + func() string {
			var b strings.Builder
			for i := range 4000 {
				fmt.Fprintf(&b, `"%s%d":0,`, strings.Repeat("é", 120), 9999-i)
			}
			return b.String()
		}() + `"a":0}`)},
		{"addresses", []byte(`{"ib":"x","gib":"` + hashA + `","rel8ns":{"a":[` + strings.Repeat(`"x^gib",`, 110_000) + `"x^gib"]}}`)},
		{"rel8ns", []byte(`{"ib":"x","gib":"` + hashA + `","rel8ns":` + strings.ReplaceAll(members(many/2, down), ":0", ":[]") + `}`)},
		{"dropped members", append([]byte(`{"ib":"x","gib":"`+hashA+`",`), members(many, down)[1:]...)},
		{"white space", []byte(strings.Repeat(" ", size))},
		{"zeros", make([]byte, size)},
		{"long ib", []byte(`{"ib":"` + strings.Repeat("^", size-200) + `","gib":"` + hashA + `"}`)},
		{"long gib", []byte(`{"ib":"x","gib":"` + strings.Repeat(hashA+".", size/65-10) + `"}`)},
		{"address list as data", record(`{"a":[` + strings.Repeat(`"x^gib",`, size/8-50) + `"x^gib"]}`)},
		{"tag of the bytes form", append([]byte{0xB1, 0xFF, 0xFF, 0xFF, 0x01}, make([]byte, size)...)},
		{"payload that is nearly JSON", bytesForm(`{"ib":"x","gib":"`+hashA+`"}`, []byte("["+members(many, shuffled)+"}"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, gate := range []struct {
				name string
				f    func([]byte) (ibgib.IbGib, error)
			}{{"Import", ibgib.Import}, {"Verify", ibgib.Verify}} {
				var err error
				cost := allocated(func() { _, err = gate.f(c.raw) })
				if err == nil {
					t.Fatalf("%s took it", gate.name)
				}
				if len(err.Error()) > 2000 {
					t.Errorf("%s: error of %d bytes", gate.name, len(err.Error()))
				}
				ratio := float64(cost) / float64(len(c.raw))
				t.Logf("%s: %d bytes in, %.1f times that allocated: %.150s", gate.name, len(c.raw), ratio, err.Error())
				if cost > 16*uint64(len(c.raw))+64<<10 {
					t.Errorf("%s allocated %d bytes for %d", gate.name, cost, len(c.raw))
				}
			}
			if _, err := ibgib.ParseValue(c.raw); err != nil && len(err.Error()) > 2000 {
				t.Errorf("ParseValue: error of %d bytes", len(err.Error()))
			}
		})
	}
}

// The common case of the wire gate allocates the address and nothing else,
// however many members there are.
func TestVerifyAllocations(t *testing.T) {
	small := frame622(t)
	wide, err := ibgib.New("x", parse(t, members(5000, func(i int) int { return i })), nil)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := ibgib.New("x", parse(t, `[`+strings.Repeat(`{"b":1,"a":[{"c":{"e":1,"d":2}}]},`, 1000)+`0]`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]ibgib.IbGib{"frame": small, "5,000 members": wide, "1,000 objects in a list": listed} {
		verify := testing.AllocsPerRun(20, func() {
			if _, err := ibgib.Verify(g.Stored()); err != nil {
				t.Fatal(err)
			}
		})
		load := testing.AllocsPerRun(20, func() {
			if _, err := ibgib.Load(g.Addr(), g.Stored()); err != nil {
				t.Fatal(err)
			}
		})
		if verify > 1 || load > 0 {
			t.Errorf("%s: Verify allocates %v times, Load %v times", name, verify, load)
		}
	}
}
