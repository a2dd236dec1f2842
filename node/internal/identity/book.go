package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/timeline"
)

var (
	// ErrUnknown says that the book has no such keystone.
	ErrUnknown = errors.New("this node does not know the keystone")
	// ErrFull says that the book has no room for a further keystone.
	ErrFull = errors.New("too many keystones are known")
	// ErrLong says that a keystone has more frames than a book keeps.
	ErrLong = errors.New("the keystone has too many frames")
)

// maxKeystones bounds how many keystones a book has.
const maxKeystones = 10_000

// MaxFrames bounds the frames that a book takes of one keystone: a hundred a month for
// more than a lifetime, or 3 GB.
const MaxFrames = 100_000

// maxGap bounds how many frames of a keystone Attach takes up.
const maxGap = 1 << 20

// RuleUnknown keeps a frame out of the index whose keystone, or which itself, the
// book does not have.
const RuleUnknown = timeline.RuleKeystone

// RuleRival keeps a frame out of the index that follows a frame which has another
// successor.
const RuleRival = "keystone-rival"

// Book is what a node knows of keystones. It is safe for concurrent use.
type Book struct {
	dir   string
	store *blockstore.Store // nil until Attach
	// opened reads the files at its first call, when the store has its lock.
	opened func() error

	// writing is held by whoever changes a keystone, and is taken before mu.
	writing sync.Mutex

	mu    sync.Mutex // guards what follows; never held while the store is called
	known map[ibgib.Addr]*record
}

// NewBook returns the book of which the files are in the folder dir. They are read
// while the store opens, whose lock guards them too.
func NewBook(dir string) *Book {
	b := &Book{dir: dir}
	b.opened = sync.OnceValue(b.load)
	return b
}

// record is one keystone. Its history is replaced, never changed, once it is in the
// book, so that readers need no lock.
type record struct {
	history  *keystone.History
	evidence []Evidence
	saved    int  // frames that the file has; 0: there is no file
	met      bool // the store has it
	cut      bool // the store had other frames than the file, or there was no file
}

// Evidence is two valid frames that follow the same one, as the book keeps them.
// Both frames are in the local area of the store.
type Evidence struct {
	Pred     ibgib.Addr `json:"pred"`
	Known    ibgib.Addr `json:"known"` // in the history
	Rival    ibgib.Addr `json:"rival"`
	Cosigned bool       `json:"cosigned"` // the rival bears a valid co-signature
}

// Admit is the blockstore.AdmitFunc of the book: it admits the frames that the book
// has, and before Attach, while a store that opens makes its index anew, also those
// that follow them. It calls nothing but its own memory.
func (b *Book) Admit(g ibgib.IbGib, _ timeline.FrameLookup, _ timeline.Lookup) (timeline.Frame, error) {
	if err := b.opened(); err != nil {
		return timeline.Frame{}, err
	}
	root, _ := timeline.Claims(g)
	h := b.history(root)
	if h == nil {
		return timeline.Frame{}, rejection(g, RuleUnknown, "a frame of a keystone that this node does not keep")
	}
	if b.store == nil {
		// One that is not added is told of below.
		_ = h.Add(g)
	}
	n := int64(0)
	if v, ok := g.Field("n"); ok {
		n = int64(v.Number())
	}
	switch {
	case h.Addr(int(n)) != g.Addr():
		if n > 0 && n < int64(h.Len()) {
			return timeline.Frame{}, rejection(g, RuleRival, fmt.Sprintf("frame %d of the keystone is %s", n, h.Addr(int(n))))
		}
		return timeline.Frame{}, rejection(g, RuleUnknown, "a frame of the keystone that this node has not judged")
	case n == 0:
		return timeline.Frame{Addr: g.Addr(), Tjp: root, Kind: timeline.KindTjp, HasN: true}, nil
	}
	return timeline.Frame{Addr: g.Addr(), Tjp: root, Kind: timeline.KindUser, N: n, HasN: true, Pred: h.Addr(int(n) - 1)}, nil
}

func rejection(g ibgib.IbGib, rule, detail string) *timeline.Rejection {
	return &timeline.Rejection{Addr: g.Addr(), Rule: rule, Detail: detail, Version: timeline.RulesVersion}
}

// Attach gives the book its store, which has been opened with its Admit, and takes
// up what the store has beyond the files: frames that are newer than a snapshot, and
// keystones without a file, as after a restore, which are replayed. It is called once,
// before anything else but Admit. Errors wrap ErrBookFile or are those of the store.
func (b *Book) Attach(ctx context.Context, store *blockstore.Store) error {
	if err := b.opened(); err != nil {
		return err
	}
	b.store = store
	for e, err := range store.View(blockstore.LocalArea).Entries(ctx) {
		if err != nil {
			return fmt.Errorf("keystones: %w", err)
		}
		if e.Root.Ib() != keystone.Ib {
			continue
		}
		if err := b.takeUp(ctx, e); err != nil {
			return fmt.Errorf("keystones: %s: %w", e.Root, err)
		}
	}
	for _, r := range b.known {
		if !r.met {
			r.cut = true // the store has not one frame of it
		}
	}
	return nil
}

// takeUp brings a history to the newest frame that the store has of it. One that
// cannot be read, or is not valid, leaves the history as it was, and uncertain.
func (b *Book) takeUp(ctx context.Context, e blockstore.Entry) error {
	r := b.known[e.Root]
	if r == nil {
		return b.replay(ctx, e)
	}
	r.met = true
	if r.history.Has(e.Latest) {
		if r.history.Tip().Addr() == e.Latest {
			return nil
		}
		return b.cutBack(ctx, r, e.Latest)
	}
	newer, err := b.newer(ctx, e, r.history.Has)
	for _, g := range newer {
		err = errors.Join(err, r.history.Add(g))
	}
	r.cut = err != nil
	return ctx.Err()
}

// replay makes the history of a keystone that has no file.
func (b *Book) replay(ctx context.Context, e blockstore.Entry) error {
	frames, err := b.newer(ctx, e, func(a ibgib.Addr) bool { return a.IsZero() })
	if err != nil {
		return ctx.Err()
	}
	h, _, err := judge(nil, frames)
	if err != nil {
		return ctx.Err()
	}
	b.known[e.Root] = &record{history: h, met: true, cut: true}
	return ctx.Err()
}

// newer returns the frames of the local area that lead to the newest one of e, in
// order, without those that are known.
func (b *Book) newer(ctx context.Context, e blockstore.Entry, known func(ibgib.Addr) bool) ([]ibgib.IbGib, error) {
	var list []ibgib.IbGib
	for at := e.Latest; !known(at); {
		g, err := b.frame(ctx, at)
		if err != nil {
			return nil, err
		}
		if len(list) == maxGap {
			return nil, fmt.Errorf("%w: %s leads to no frame that is known", blockstore.ErrCorrupt, e.Latest)
		}
		list = append(list, g)
		at, _ = g.LastRel("past")
	}
	slices.Reverse(list)
	return list, nil
}

// cutBack takes a history back to the newest frame that is in the store, which is
// older than the snapshot.
func (b *Book) cutBack(ctx context.Context, r *record, newest ibgib.Addr) error {
	r.cut = true
	g, err := b.frame(ctx, newest)
	if err != nil {
		return ctx.Err()
	}
	h, err := r.history.Until(g)
	if err == nil {
		r.history, r.saved = h, 0
	}
	return ctx.Err()
}

func (b *Book) frame(ctx context.Context, a ibgib.Addr) (ibgib.IbGib, error) {
	hash, ok := a.Hash()
	if !ok {
		return ibgib.IbGib{}, blockstore.ErrNotFound
	}
	return b.store.View(blockstore.LocalArea).Block(ctx, hash)
}

// history returns the history of a keystone, nil if there is none. It must not be
// changed.
func (b *Book) history(genesis ibgib.Addr) *keystone.History {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.known[genesis]; r != nil {
		return r.history
	}
	return nil
}

// History returns what the book knows of a keystone. The history is shared: it must
// not be changed (Clone), and it does not change when the book learns more.
func (b *Book) History(genesis ibgib.Addr) (*keystone.History, error) {
	if h := b.history(genesis); h != nil {
		return h, nil
	}
	return nil, ErrUnknown
}

// Evidence returns the evidence of equivocation of a keystone.
func (b *Book) Evidence(genesis ibgib.Addr) []Evidence {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r := b.known[genesis]; r != nil {
		return slices.Clone(r.evidence)
	}
	return nil
}

// Genesis returns the first frames of all keystones, sorted.
func (b *Book) Genesis() []ibgib.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]ibgib.Addr, 0, len(b.known))
	for a := range b.known {
		list = append(list, a)
	}
	slices.SortFunc(list, ibgib.CompareAddr)
	return list
}

// Frames returns the frames of a keystone from number first on, oldest first; at
// most limit.
func (b *Book) Frames(ctx context.Context, genesis ibgib.Addr, first, limit int) ([]ibgib.IbGib, error) {
	h := b.history(genesis)
	if h == nil {
		return nil, ErrUnknown
	}
	var list []ibgib.IbGib
	for n := max(first, 0); n < h.Len() && len(list) < limit; n++ {
		g, err := b.stored(ctx, h.Addr(n))
		if err != nil {
			return nil, fmt.Errorf("keystone %s: frame %d: %w", genesis, n, err)
		}
		list = append(list, g)
	}
	return list, nil
}

// Frame returns the frame of a keystone with a hash, and the zero IbGib for the zero
// Hash. It fails with ErrUnknown if there is none.
func (b *Book) Frame(ctx context.Context, genesis ibgib.Addr, hash ibgib.Hash) (ibgib.IbGib, error) {
	if hash == (ibgib.Hash{}) {
		return ibgib.IbGib{}, nil
	}
	h := b.history(genesis)
	if h == nil {
		return ibgib.IbGib{}, ErrUnknown
	}
	n, ok := h.Place(hash)
	if !ok {
		return ibgib.IbGib{}, ErrUnknown
	}
	return b.stored(ctx, h.Addr(n))
}

// stored returns a frame of a history of the book. A history is there before the store
// has its newest frames; then they are waited for.
func (b *Book) stored(ctx context.Context, a ibgib.Addr) (ibgib.IbGib, error) {
	g, err := b.frame(ctx, a)
	if !errors.Is(err, blockstore.ErrNotFound) {
		return g, err
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	return b.frame(ctx, a)
}
