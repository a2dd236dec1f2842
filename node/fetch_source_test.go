package node

import (
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/gather"
)

// One that is slow only because it is far away keeps its place as long as there is one
// that leaves things out, though that one came later.
func TestAFarProviderKeepsItsPlace(t *testing.T) {
	f := newFetcher(nil, ibgib.Hash{})
	for i := range 64 {
		f.plan.Need(junk(i).Hash())
	}
	far, _ := f.newSource(t.Context(), "far")
	late, _ := f.newSource(t.Context(), "late")
	now := time.Now()
	for s, gives := range map[*fetchSource]int{far: 32, late: 1} {
		f.plan.Ready(s.number, now.Add(-4*time.Second))
		wants, _, _ := f.plan.Next(s.number, now.Add(-2*time.Second))
		f.plan.Answered(s.number, now.Add(-700*time.Millisecond), wants, gather.Answer{Blocks: min(gives, len(wants))})
	}
	far.began = now.Add(-2 * fetchSlow)
	if _, drop := f.places(); drop != nil {
		t.Errorf("%s gives way", drop.peer)
	}
	late.began = far.began
	if _, drop := f.places(); drop != late {
		t.Errorf("%+v gives way, want the other one", drop)
	}
	late.over = true
	if _, drop := f.places(); drop != far {
		t.Errorf("%+v gives way, want the one that is left", drop)
	}
}
