package blockstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// Damage is what a share has lost of its blocks.
type Damage struct {
	// Blocks are damaged, or gone although something that is stored needs them;
	// ascending.
	Blocks []ibgib.Hash
	// Roots are timelines and pinned stones among the closures of which all of Blocks
	// are, ascending. None: that is not known, or there are too many.
	Roots []ibgib.Hash
}

// maxDamageRoots bounds Damage.Roots.
const maxDamageRoots = 1000

// Damage finds what Repair would take out, so that it can be had from elsewhere and
// given to Mend before. It reads everything, all of one moment, and remembers some 50
// bytes for each block. progress, if not nil, is called now and then with the number of
// records looked at.
func (s *Store) Damage(ctx context.Context, share Share, progress func(done int)) (Damage, error) {
	a := &assessment{
		ctx: ctx, share: share, progress: progress,
		sound: make(map[ibgib.Hash]uint64), lost: make(map[ibgib.Hash]bool), roots: make(map[ibgib.Hash]bool),
	}
	err := s.read(func(snap snapshot) error {
		a.snap = snap
		for _, step := range []func() error{a.blocks, a.members, a.named, a.referrers} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Damage{}, err
	}
	d := Damage{Blocks: ascending(a.lost)}
	if !a.anywhere && len(a.roots) <= maxDamageRoots {
		d.Roots = ascending(a.roots)
	}
	return d, nil
}

func ascending(set map[ibgib.Hash]bool) []ibgib.Hash {
	list := make([]ibgib.Hash, 0, len(set))
	for h := range set {
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b ibgib.Hash) int { return bytes.Compare(a[:], b[:]) })
	return list
}

// assessment is one run of Damage.
type assessment struct {
	ctx      context.Context
	snap     snapshot
	share    Share
	progress func(int)
	done     int

	sound    map[ibgib.Hash]uint64 // where blocks lie that are as they must be
	lost     map[ibgib.Hash]bool
	roots    map[ibgib.Hash]bool
	anywhere bool // something lost is linked by what is no frame
}

func (a *assessment) step() error {
	a.done++
	if a.progress != nil && a.done%1000 == 0 {
		a.progress(a.done)
	}
	return a.ctx.Err()
}

func (a *assessment) blocks() error {
	return a.snap.scan([]byte{prefixBlock}, nil, func(key, value []byte) (bool, error) {
		if g, err := checkBlock(value); err == nil {
			a.sound[g.Hash()] = blockSlot(key)
		}
		return true, a.step()
	})
}

func (a *assessment) isSound(h ibgib.Hash) bool {
	_, ok := a.sound[h]
	return ok
}

// block returns a block that is sound.
func (a *assessment) block(h ibgib.Hash) (ibgib.IbGib, error) {
	b, _, err := a.snap.get(blockKey(a.sound[h]))
	if err != nil {
		return ibgib.IbGib{}, err
	}
	content, err := blockContent(b)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	return ibgib.Reload(content)
}

// lose notes a block that something needs, unless it is sound. root is the timeline
// that it is of, or zero.
func (a *assessment) lose(h ibgib.Hash, root ibgib.Addr) {
	if a.isSound(h) {
		return
	}
	a.lost[h] = true
	if r, ok := root.Hash(); ok {
		a.roots[r] = true
	}
}

// eachMember calls f for each member of the share, with its record if that can be read.
func (a *assessment) eachMember(f func(h ibgib.Hash, m member) error) error {
	return a.snap.scan(sharePrefix(prefixMember, a.share), nil, func(key, value []byte) (bool, error) {
		h := lastHash(key)
		m, err := decodeMember(h, value)
		if err != nil {
			m = member{}
		}
		if err := f(h, m); err != nil {
			return false, err
		}
		return true, a.step()
	})
}

// members looks for the blocks of members, and for what closed ones link to.
func (a *assessment) members() error {
	return a.eachMember(func(h ibgib.Hash, m member) error {
		var root ibgib.Addr
		if m.frame != nil {
			root = m.frame.Tjp
		}
		a.lose(h, root)
		if !a.isSound(h) || !m.closed {
			return nil
		}
		g, err := a.block(h)
		if err != nil {
			return err
		}
		for _, to := range g.Links() {
			if th, ok := to.Hash(); ok {
				a.lose(th, ibgib.Addr{})
			}
		}
		return nil
	})
}

// named looks for what entries and pins name.
func (a *assessment) named() error {
	err := a.snap.scan(sharePrefix(prefixEntry, a.share), nil, func(_, value []byte) (bool, error) {
		if e, err := decodeEntry(value); err == nil {
			for _, addr := range append([]ibgib.Addr{e.Root, e.Latest}, e.Heads...) {
				if h, ok := addr.Hash(); ok {
					a.lose(h, e.Root)
				}
			}
		}
		return true, a.step()
	})
	if err != nil {
		return err
	}
	return a.snap.scanKeys(sharePrefix(prefixPin, a.share), nil, func(key []byte) (bool, error) {
		a.lose(lastHash(key), ibgib.Addr{})
		return true, a.step()
	})
}

// referrers finds out in which timelines the lost blocks are: those of the frames that
// link to them.
func (a *assessment) referrers() error {
	if len(a.lost) == 0 {
		return nil
	}
	return a.eachMember(func(h ibgib.Hash, m member) error {
		if !a.isSound(h) || a.anywhere {
			return nil
		}
		g, err := a.block(h)
		if err != nil {
			return err
		}
		for _, to := range g.Links() {
			th, ok := to.Hash()
			if !ok || !a.lost[th] {
				continue
			}
			tjp, frame := timeline.Claims(g)
			root, ok := tjp.Hash()
			if a.anywhere = !frame || !ok; a.anywhere {
				return nil
			}
			a.roots[root] = true
		}
		return nil
	})
}

// Mend stores ibGibs in the place of damaged blocks, or of such that are gone. They
// become no members of a share by that, which Repair sees to.
func (s *Store) Mend(ctx context.Context, gs []ibgib.IbGib) error {
	if err := s.mend(ctx, gs); err != nil {
		return fmt.Errorf("blockstore: mend: %w", err)
	}
	return nil
}

func (s *Store) mend(ctx context.Context, gs []ibgib.IbGib) error {
	if err := s.life.enter(); err != nil {
		return err
	}
	defer s.life.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	b := newBatch()
	for i, g := range gs { // each a new arrival, which Repair finds by its hash
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.space.check(); err != nil {
			return err
		}
		b.put(blockKey(s.marks.arrival), appendBlock(nil, g))
		s.marks.arrival++
		b.put(keyMarks, encodeMarks(s.marks))
		if i < len(gs)-1 && !b.full(0, 0) && g.Size() < bigValue {
			continue
		}
		if err := s.kv.write(b); err != nil {
			return err
		}
		s.space.written += b.bytes
		b.reset()
	}
	return nil
}
