package saga_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// plain is the least that a saga can run on: maps, and every frame admitted as
// it says it is. It measures the saga and not a store.
type plain struct {
	mu     sync.RWMutex
	blocks map[ibgib.Hash]ibgib.IbGib
	frames map[ibgib.Hash]timeline.Frame
	heads  map[ibgib.Hash]timeline.Frame // by root; one each
	came   []ibgib.IbGib
}

func newPlain() *plain {
	return &plain{
		blocks: make(map[ibgib.Hash]ibgib.IbGib),
		frames: make(map[ibgib.Hash]timeline.Frame),
		heads:  make(map[ibgib.Hash]timeline.Frame),
	}
}

func (p *plain) Block(_ context.Context, h ibgib.Hash) (ibgib.IbGib, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	g, ok := p.blocks[h]
	if !ok {
		return g, fmt.Errorf("%s is not stored", h)
	}
	return g, nil
}

func (p *plain) HasClosed(_ context.Context, hashes []ibgib.Hash) ([]bool, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	has := make([]bool, len(hashes))
	for i, h := range hashes {
		_, has[i] = p.blocks[h]
	}
	return has, nil
}

func (p *plain) Positions(_ context.Context, hashes []ibgib.Hash) ([]uint64, error) {
	return make([]uint64, len(hashes)), nil
}

func (p *plain) Empty(context.Context) (bool, error) { return len(p.blocks) == 0, nil }

func (p *plain) Frame(_ context.Context, h ibgib.Hash) (timeline.Frame, bool, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	f, ok := p.frames[h]
	return f, ok, nil
}

func (p *plain) entries() []timeline.Entry {
	var all []timeline.Entry
	for root, f := range p.heads {
		all = append(all, timeline.Entry{Root: root, Heads: []ibgib.Hash{f.Hash()}})
	}
	slices.SortFunc(all, func(a, b timeline.Entry) int { return slices.Compare(a.Root[:], b.Root[:]) })
	return all
}

func (p *plain) Knowledge(context.Context) (timeline.Fingerprint, iter.Seq2[timeline.Entry, error], func(), error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	all := p.entries()
	var fp timeline.Fingerprint
	for _, e := range all {
		fp.Add(e.Digest())
	}
	return fp, func(yield func(timeline.Entry, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}, func() {}, nil
}

func (p *plain) EntriesOf(_ context.Context, roots []ibgib.Hash) ([]timeline.Entry, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.DeleteFunc(p.entries(), func(e timeline.Entry) bool { return !slices.Contains(roots, e.Root) }), nil
}

func (p *plain) Put(_ context.Context, gs []ibgib.IbGib) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range gs {
		p.blocks[g.Hash()] = g
	}
	p.came = append(p.came, gs...)
	return nil
}

func (p *plain) Touch(context.Context, []ibgib.Hash) error { return nil }

func (p *plain) Commit(context.Context, saga.Change) (saga.Committed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.came {
		tjp, ok := timeline.Claims(g)
		if !ok {
			continue
		}
		f := timeline.Frame{Addr: g.Addr(), Tjp: tjp, Kind: timeline.KindUser}
		if f.Pred, ok = g.LastRel("past"); !ok {
			f.Kind = timeline.KindTjp
		}
		if n, ok := g.Field("n"); ok {
			f.N, f.HasN = int64(n.Number()), true
		}
		p.frames[f.Hash()] = f
		root, _ := tjp.Hash()
		if old, ok := p.heads[root]; !ok || old.N < f.N {
			p.heads[root] = f
		}
	}
	p.came = nil
	return saga.Committed{}, nil
}

func (p *plain) Discard() error { return nil }

// fill makes timelines of so many frames, about two ibGibs of 600 bytes a frame.
func (p *plain) fill(t testing.TB, seed uint64, timelines, frames int) {
	t.Helper()
	env := seededEnv(seed)
	linked := []string{"past", "dna"}
	put := func(res ibgib.Result, err error) ibgib.IbGib {
		if err != nil {
			t.Fatal(err)
		}
		p.Put(t.Context(), res.All())
		return res.New
	}
	for i := range timelines {
		g := put(ibgib.FirstGen(ibgib.FirstGenOptions{
			Ib: fmt.Sprintf("timeline %d", i), Tjp: ibgib.TjpOptions{UUID: true, Timestamp: true},
			NCounter: true, Dna: true, LinkedRel8ns: linked,
		}, env))
		for j := 1; j < frames; j++ {
			g = put(ibgib.Mut8(g, ibgib.Mut8Options{
				Patch:    ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String(fmt.Sprintf("%d %d %0220d", seed, i, j))}),
				NCounter: true, Dna: true, LinkedRel8ns: linked,
			}, env))
		}
	}
	p.Commit(t.Context(), saga.Change{})
}

func (p *plain) config(role saga.Role, conn saga.Conn) saga.Config {
	return saga.Config{
		Role: role, Conn: conn, ID: saga.ID{1}, Self: "one", Peer: "two",
		Blocks: p, Index: p, Intake: func(context.Context) (saga.Intake, error) { return p, nil },
	}
}

// BenchmarkFirstSync sends 100,000 ibGibs of about 600 bytes into an empty
// space, without a store below and without encoding. It keeps both sides, so
// one core does at most half of it alone.
func BenchmarkFirstSync(b *testing.B) {
	source := newPlain()
	source.fill(b, 1, 500, 100)
	for b.Loop() {
		target := newPlain()
		x, y := saga.Pipe(1 << 20)
		rx, ry, errX, errY := runConfigs(b.Context(), source.config(saga.Initiator, x), target.config(saga.Responder, y))
		if errX != nil || errY != nil || !rx.Converged || !ry.Converged {
			b.Fatal(errX, errY)
		}
		b.SetBytes(int64(ry.Received.Bytes))
		b.ReportMetric(float64(ry.Received.IbGibs), "ibgibs/op")
		b.ReportMetric(float64(ry.Received.Bytes)/float64(ry.Received.IbGibs), "B/ibgib")
	}
	b.ReportMetric(float64(len(source.blocks))*float64(b.N)/b.Elapsed().Seconds(), "ibgibs/s")
}
