package keystone_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
)

// benchFrames is how many frames the long keystone of the benchmarks has;
// KEYSTONE_FRAMES overrides it.
func benchFrames(b *testing.B) int {
	b.Helper()
	text := os.Getenv("KEYSTONE_FRAMES")
	if text == "" {
		return 1_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 3 {
		b.Fatalf("KEYSTONE_FRAMES=%s", text)
	}
	return n
}

// long makes a primary keystone of that many frames.
func long(b *testing.B) *identity {
	b.Helper()
	id := primary(b, 1)
	for i := range benchFrames(b) - 1 {
		id.sign(b, keystone.VerbSync, target(b, i))
	}
	return id
}

// BenchmarkValidate replays a primary keystone of 1,000 frames from scratch.
func BenchmarkValidate(b *testing.B) {
	id := long(b)
	bytes := int64(0)
	for _, g := range id.frames {
		bytes += int64(g.Size())
	}
	b.SetBytes(bytes)
	b.ResetTimer()
	for b.Loop() {
		if r := keystone.Validate(id.frames); !r.Valid {
			b.Fatal(r.Violations)
		}
	}
	b.ReportMetric(float64(bytes)/float64(len(id.frames)), "B/frame")
}

// BenchmarkAdd judges one more frame of it.
func BenchmarkAdd(b *testing.B) {
	id := long(b)
	before, err := id.Until(id.frames[len(id.frames)-2])
	if err != nil {
		b.Fatal(err)
	}
	last := id.Tip()
	for b.Loop() {
		b.StopTimer()
		h := before.Clone()
		b.StartTimer()
		if err := h.Add(last); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkResume takes it up after a restart.
func BenchmarkResume(b *testing.B) {
	id := long(b)
	saved, tip := snapshot(b, id.History), id.Tip()
	b.ReportMetric(float64(len(saved)), "B/snapshot")
	for b.Loop() {
		if _, err := keystone.Resume(saved, tip); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSign makes one more frame of it.
func BenchmarkSign(b *testing.B) {
	id := long(b)
	claim := keystone.Claim{Verb: keystone.VerbSync, Target: target(b, 5_000)}
	for b.Loop() {
		if _, err := id.Sign(id.History, keystone.Request{Claim: claim}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBegin makes a primary keystone.
func BenchmarkBegin(b *testing.B) {
	s := signer(b, 1)
	var first ibgib.IbGib
	for b.Loop() {
		var err error
		if first, err = s.Begin(keystone.Genesis{Configs: keystone.PrimaryConfigs()}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(first.Size()), "B/frame")
}
