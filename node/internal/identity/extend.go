package identity

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/timeline"
)

// EquivocationError says that a frame and one that is known both are valid
// successors of the same frame. The keystone is disputed from the first time on that
// such a frame is seen.
type EquivocationError struct{ Evidence Evidence }

func (e *EquivocationError) Error() string {
	return fmt.Sprintf("keystone: %s and %s both follow %s: the keystone is disputed", e.Evidence.Rival, e.Evidence.Known, e.Evidence.Pred)
}

// Is makes an EquivocationError a keystone.ErrDisputed.
func (e *EquivocationError) Is(target error) bool { return target == keystone.ErrDisputed }

// Extend judges frames of one keystone, oldest first, and stores those that are new.
// They must have passed the gate. The first frame of a keystone that the book does
// not have begins it; whether it is wanted is for the caller to know. The frames are
// durable when Extend returns. from is the peer that brought them, empty for nobody.
//
// A frame that breaks a rule ends it with a *keystone.Invalid, and a rival with a
// *EquivocationError: the frames before it stay, nothing after it is looked at.
// Other errors are of the store, or wrap ErrUnknown, ErrFull or, for a keystone of more
// than MaxFrames, ErrLong.
func (b *Book) Extend(ctx context.Context, from string, frames []ibgib.IbGib) (*keystone.History, error) {
	if len(frames) == 0 {
		return nil, ErrUnknown
	}
	genesis, ok := timeline.Claims(frames[0])
	if !ok {
		return nil, fmt.Errorf("%s: %w", frames[0].Addr(), ErrUnknown)
	}
	for {
		// Judged without a lock: it may take long.
		was := b.history(genesis)
		if len(frames) > MaxFrames {
			return nil, ErrLong
		}
		h, added, refused := judge(was, frames)
		if h == nil {
			return nil, refused
		}
		if h.Len() > MaxFrames {
			return nil, ErrLong
		}
		moved, err := b.advance(ctx, from, genesis, was, h, added)
		if errors.Is(err, errMeanwhile) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if rival, is := errors.AsType[*keystone.RivalError](refused); is {
			return moved, b.weigh(ctx, genesis, rival, frames)
		}
		return moved, refused
	}
}

// Accept stores a frame of a session that the book knows if it is the next one and
// claims verb about target; it is durable when Accept returns. What keystone.History.Accept
// says of it is an error, as is a session of MaxSessionFrames, both
// *keystone.SessionError; other errors are of the store, or ErrUnknown. from is the peer
// that brought it.
func (b *Book) Accept(ctx context.Context, from string, frame ibgib.IbGib, verb string, target ibgib.Addr) error {
	genesis, _ := timeline.Claims(frame)
	for {
		was := b.history(genesis)
		switch {
		case was == nil:
			return ErrUnknown
		case was.Len() >= MaxSessionFrames:
			return &keystone.SessionError{Reason: keystone.ReasonBadProof, Detail: "the session has too many frames"}
		}
		h := was.Clone()
		if err := h.Accept(frame, verb, target); err != nil {
			return err
		}
		if _, err := b.advance(ctx, from, genesis, was, h, []ibgib.IbGib{frame}); !errors.Is(err, errMeanwhile) {
			return err
		}
	}
}

// judge returns the history with the frames that are new, up to the first that is
// refused. was is nil for a keystone that is not known.
func judge(was *keystone.History, frames []ibgib.IbGib) (h *keystone.History, added []ibgib.IbGib, err error) {
	if was == nil {
		if h, err = keystone.Begin(frames[0]); err != nil {
			return nil, nil, err
		}
		added, frames = frames[:1], frames[1:]
	}
	for _, g := range frames {
		current := h
		if current == nil {
			current = was
		}
		if current.Has(g.Addr()) {
			continue
		}
		if h == nil {
			h = was.Clone()
		}
		if err := h.Add(g); err != nil {
			return h, added, err
		}
		added = append(added[:len(added):len(added)], g)
	}
	if h == nil {
		h = was
	}
	return h, added, nil
}

// errMeanwhile says that the book has learned more of the keystone since.
var errMeanwhile = errors.New("the keystone has changed meanwhile")

// advance stores the frames that lead from was to h, which takes its place.
func (b *Book) advance(ctx context.Context, from string, genesis ibgib.Addr, was, h *keystone.History, added []ibgib.IbGib) (*keystone.History, error) {
	if len(added) == 0 {
		return h, nil
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	if b.history(genesis) != was {
		return nil, errMeanwhile
	}
	return h, b.commit(ctx, from, genesis, h, added)
}

// commit stores frames and makes h the history of the keystone, with b.writing held.
func (b *Book) commit(ctx context.Context, from string, genesis ibgib.Addr, h *keystone.History, added []ibgib.IbGib) error {
	b.mu.Lock()
	r := b.known[genesis]
	fresh := r == nil
	if fresh {
		if len(b.known) >= maxKeystones {
			b.mu.Unlock()
			return ErrFull
		}
		r = &record{}
		b.known[genesis] = r
	}
	was := r.history
	r.history = h // before the store asks Admit
	b.mu.Unlock()

	err := b.keep(ctx, from, genesis, added)
	if err == nil && (fresh || h.Len()-r.saved >= saveEvery || h.Status() != keystone.Valid) {
		err = b.save(genesis, r)
	}
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		if r.history = was; fresh {
			delete(b.known, genesis)
		}
	}
	return err
}

// keep puts frames into the local area, where the last of them is the head of the
// keystone then. Once begun it goes on to the end: an error has to mean that nothing was
// stored.
func (b *Book) keep(ctx context.Context, from string, genesis ibgib.Addr, frames []ibgib.IbGib) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	put, done, err := b.store.Apply(ctx, blockstore.LocalArea, blockstore.Origin{Peer: from}, frames)
	switch {
	case err != nil:
		return err
	case len(put.Refused) > 0:
		return put.Refused[0]
	case len(done.Rejected) > 0:
		return &done.Rejected[0]
	}
	hash, _ := genesis.Hash()
	e, _, err := b.store.View(blockstore.LocalArea).Entry(ctx, hash)
	if last := frames[len(frames)-1].Addr(); err == nil && e.Latest != last {
		err = fmt.Errorf("%w: the keystone %s does not lead to %s", blockstore.ErrCorrupt, genesis, last)
	}
	return err
}

// weigh decides what a rival means. If it counts, the keystone is disputed, and the
// error is an *EquivocationError; else the error says what is wrong with the rival.
func (b *Book) weigh(ctx context.Context, genesis ibgib.Addr, at *keystone.RivalError, frames []ibgib.IbGib) error {
	var rival ibgib.IbGib
	for _, g := range frames {
		if g.Addr() == at.Rival {
			rival = g
		}
	}
	pred, err := b.frame(ctx, at.Pred)
	if err != nil {
		return err
	}
	known, err := b.frame(ctx, at.Known)
	if err != nil {
		return err
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	was := b.history(genesis)
	found, err := was.Weigh(pred, known, rival)
	if err != nil {
		return err
	}
	e := Evidence{Pred: at.Pred, Known: at.Known, Rival: at.Rival, Cosigned: found.Cosigned}
	if hasRival(b.Evidence(genesis), e.Rival) {
		return &EquivocationError{e} // a person may have decided about it
	}
	h := was.Clone()
	if err := h.Dispute(found); err != nil {
		return err
	}
	// The rival is stored, out of the index.
	if _, _, err := b.store.Apply(ctx, blockstore.LocalArea, blockstore.Origin{}, []ibgib.IbGib{rival}); err != nil {
		return err
	}
	return errors.Join(b.dispute(genesis, h, e), &EquivocationError{e})
}

// maxEvidence bounds how much evidence is kept of one keystone; one piece is enough.
const maxEvidence = 16

// dispute makes h, which is disputed, the history of the keystone, with b.writing
// held. It holds even if it cannot be written down.
func (b *Book) dispute(genesis ibgib.Addr, h *keystone.History, e Evidence) error {
	b.mu.Lock()
	r := b.known[genesis]
	r.history = h
	if !hasRival(r.evidence, e.Rival) && len(r.evidence) < maxEvidence {
		r.evidence = append(r.evidence[:len(r.evidence):len(r.evidence)], e)
	}
	b.mu.Unlock()
	return b.save(genesis, r)
}

func hasRival(list []Evidence, rival ibgib.Addr) bool {
	for _, e := range list {
		if e.Rival == rival {
			return true
		}
	}
	return false
}

// Settle ends the dispute about a keystone for the frames that the book has: a
// person has decided. The evidence stays.
func (b *Book) Settle(genesis ibgib.Addr) (*keystone.History, error) {
	b.writing.Lock()
	defer b.writing.Unlock()
	was := b.history(genesis)
	if was == nil {
		return nil, ErrUnknown
	}
	h := was.Clone()
	h.Settle()
	b.mu.Lock()
	r := b.known[genesis]
	r.history = h
	b.mu.Unlock()
	if err := b.save(genesis, r); err != nil {
		b.mu.Lock()
		r.history = was
		b.mu.Unlock()
		return nil, err
	}
	return h, nil
}
