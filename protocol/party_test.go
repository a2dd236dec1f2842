package protocol_test

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// firstFrame makes a timeline of one frame.
func firstFrame(t *testing.T, ib string) ibgib.IbGib {
	t.Helper()
	parent, err := ibgib.ParseAddr("ib^gib")
	if err != nil {
		t.Fatal(err)
	}
	g, err := ibgib.New(ib,
		ibgib.Object(ibgib.Member{Name: "isTjp", Value: ibgib.Bool(true)}, ibgib.Member{Name: "n", Value: ibgib.Number(0)}),
		ibgib.Rel8ns{{Name: "ancestor", Addrs: []ibgib.Addr{parent}}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// party is one side of a saga: a space of timelines with one frame each.
type party struct {
	machine *saga.Machine
	walker  *saga.Walker

	mu     sync.Mutex // guards the fields below
	blocks map[ibgib.Hash]ibgib.IbGib
	frames map[ibgib.Hash]timeline.Frame
	put    []ibgib.IbGib // by the saga, not committed
}

func newParty(t *testing.T, gs []ibgib.IbGib) *party {
	t.Helper()
	p := &party{blocks: map[ibgib.Hash]ibgib.IbGib{}, frames: map[ibgib.Hash]timeline.Frame{}}
	if err := p.Put(t.Context(), gs); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(t.Context(), saga.Change{}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *party) entries() (entries []timeline.Entry, fp timeline.Fingerprint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for h := range p.frames {
		e := timeline.Entry{Root: h, Heads: []ibgib.Hash{h}}
		entries = append(entries, e)
		fp.Add(e.Digest())
	}
	slices.SortFunc(entries, func(a, b timeline.Entry) int { return bytes.Compare(a.Root[:], b.Root[:]) })
	return entries, fp
}

func (p *party) Block(_ context.Context, h ibgib.Hash) (ibgib.IbGib, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blocks[h], nil
}

func (p *party) HasClosed(_ context.Context, hashes []ibgib.Hash) ([]bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	there := make([]bool, len(hashes))
	for i, h := range hashes {
		_, there[i] = p.blocks[h]
	}
	return there, nil
}

func (p *party) Positions(_ context.Context, hashes []ibgib.Hash) ([]uint64, error) {
	return make([]uint64, len(hashes)), nil
}

func (p *party) Empty(context.Context) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.blocks) == 0, nil
}

func (p *party) Knowledge(context.Context) (timeline.Fingerprint, iter.Seq2[timeline.Entry, error], func(), error) {
	entries, fp := p.entries()
	all := func(yield func(timeline.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
	return fp, all, func() {}, nil
}

func (p *party) EntriesOf(_ context.Context, roots []ibgib.Hash) ([]timeline.Entry, error) {
	entries, _ := p.entries()
	return slices.DeleteFunc(entries, func(e timeline.Entry) bool { return !slices.Contains(roots, e.Root) }), nil
}

func (p *party) Frame(_ context.Context, h ibgib.Hash) (timeline.Frame, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.frames[h]
	return f, ok, nil
}

func (p *party) Put(_ context.Context, gs []ibgib.IbGib) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range gs {
		p.blocks[g.Hash()] = g
	}
	p.put = append(p.put, gs...)
	return nil
}

func (p *party) Touch(context.Context, []ibgib.Hash) error { return nil }

func (p *party) Commit(context.Context, saga.Change) (saga.Committed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := len(p.put)
	for _, g := range p.put {
		frame, err := timeline.Admit(g, nil, nil)
		if err != nil {
			return saga.Committed{}, err
		}
		p.frames[g.Hash()] = frame
	}
	p.put = nil
	return saga.Committed{
		Moved: moved, Seq: uint64(len(p.frames)), Epoch: [16]byte([]byte("epoch of a store")),
	}, nil
}

func (p *party) Discard() error { return nil }
