package timeline

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/ibgib/ibgib-node/ibgib"
)

// FrameKind says what an admitted frame is to its timeline. The numbers are
// stored by indexes and never change their meaning.
type FrameKind uint8

// The kinds of frames.
const (
	KindNone  FrameKind = 0 // no frame: a stone, a dna record, anything without a tjp
	KindTjp   FrameKind = 1 // the first frame, which names the timeline
	KindUser  FrameKind = 2 // made by a transform (or by anything else; see MERGE.md on opaque frames)
	KindMerge FrameKind = 3 // computed from the user frames below it
	KindKeep  FrameKind = 4 // a person's resolution of a divergence
)

// String returns the kind as a lower-case word.
func (k FrameKind) String() string {
	switch k {
	case KindNone:
		return "none"
	case KindTjp:
		return "tjp"
	case KindUser:
		return "user"
	case KindMerge:
		return "merge"
	case KindKeep:
		return "keep"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Frame holds the facts of one admitted frame, as an index keeps them. Frames
// come from Admit; the slice is shared and must not be modified.
type Frame struct {
	Addr ibgib.Addr
	Tjp  ibgib.Addr // names the timeline; the tjp frame's own address for the tjp
	Kind FrameKind

	// N counts the frames from the tjp. Along every edge of the history it
	// grows. Valid with HasN; a timeline has n on all of its frames or on none.
	N    int64
	HasN bool

	Pred  ibgib.Addr   // the frame right below; zero for the tjp
	Links []ibgib.Addr // counted merge links; only on merge and keep frames

	// HasMergeList tells that the ibGib bears a non-empty ibgib.merge.1 or
	// ibgib.skipped.1 list, counted or inherited, which its successors must
	// repeat. Without it Admit never reads a predecessor's block.
	HasMergeList bool
}

// IsZero reports whether f is the zero Frame.
func (f Frame) IsZero() bool { return f.Addr.IsZero() }

// IsUser reports whether f is a user frame: every frame but a merge frame.
func (f Frame) IsUser() bool {
	return f.Kind == KindTjp || f.Kind == KindUser || f.Kind == KindKeep
}

// Hash returns the punctiliar hash of the frame's address.
func (f Frame) Hash() ibgib.Hash {
	h, _ := f.Addr.Hash()
	return h
}

// below calls visit with the frames directly below f in its history: the
// predecessor, then the counted merge links. Merge frames are not expanded.
func (f Frame) below(visit func(ibgib.Addr) error) error {
	if !f.Pred.IsZero() {
		if err := visit(f.Pred); err != nil {
			return err
		}
	}
	for _, a := range f.Links {
		if err := visit(a); err != nil {
			return err
		}
	}
	return nil
}

// order returns n, and -1 for a frame without n.
func (f Frame) order() int64 {
	if !f.HasN {
		return -1
	}
	return f.N
}

// Compare orders frames by (n, HASH), a missing n counting as -1.
func Compare(a, b Frame) int {
	if c := cmp.Compare(a.order(), b.order()); c != 0 {
		return c
	}
	ha, hb := a.Hash(), b.Hash()
	return compareHash(ha, hb)
}

// Lookup reads a stored ibGib. It returns the zero IbGib and no error when the
// address is not stored. Any error, such as a cancellation, ends the operation
// that asked and is returned by it.
type Lookup func(ibgib.Addr) (ibgib.IbGib, error)

// FrameLookup reads an admitted frame of the index; false when the address (the
// whole address, not only its hash) is none. Any error ends the operation that
// asked and is returned by it.
type FrameLookup func(ibgib.Addr) (Frame, bool, error)

// ErrIndex is wrapped by the error of a walk that finds the index without a
// frame that an admitted frame stands on.
var ErrIndex = errors.New("the timeline index lacks a frame")

// must looks up a frame that has to be in the index because above stands on it.
func (look FrameLookup) must(addr ibgib.Addr, above ibgib.Addr) (Frame, error) {
	f, ok, err := look(addr)
	if err != nil {
		return Frame{}, err
	}
	if !ok || f.Addr != addr {
		return Frame{}, fmt.Errorf("timeline: frame %s below %s: %w", shown(addr), shown(above), ErrIndex)
	}
	return f, nil
}

// Claims reports whether g claims to be a frame of a timeline, and of which: a
// truthy isTjp claims the timeline that g itself would name, a tjp list the one
// of its last address (the one that enters the gib). A claim is what the ibGib
// says; Admit decides.
func Claims(g ibgib.IbGib) (tjp ibgib.Addr, ok bool) {
	if g.IsTjp() {
		return g.Addr(), true
	}
	return g.LastRel(relTjp)
}
