package blockstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// VerifyReport is what Verify found.
type VerifyReport struct {
	IbGibs    int       `json:"ibgibs"`         // members of the default share
	Timelines int       `json:"timelines"`      // of the default share
	Blocks    int       `json:"blocks"`         // of all shares and the local area
	Problems  []Problem `json:"problems"`       // at most 1,000; empty: all is well
	More      int       `json:"more,omitempty"` // problems beyond those
}

// A Problem is one thing that is not as it must be.
type Problem struct {
	Kind   string `json:"kind"` // "gib", "member", "closed", "frame", "waiting", "head", "pin", "change-log", "fingerprint", "journal"
	Item   string `json:"item"` // an address or a hash
	Detail string `json:"detail"`
}

// Verify recomputes the gib of every block and, for every share, membership,
// closed flags, frames, waiting records, heads, change log and fingerprint,
// and the journal, all of one moment. progress, if not nil, is called now and then with the
// number of records checked. The error is about reading, not about what is
// found.
func (s *Store) Verify(ctx context.Context, progress func(checked int)) (VerifyReport, error) {
	v := &verifier{
		ctx: ctx, progress: progress, admit: s.admit, strategy: s.strategy, loose: newLooses(),
		damaged: make(map[uint64]error), reported: make(map[uint64]bool),
	}
	v.report.Problems = []Problem{}
	err := s.read(func(snap snapshot) error {
		v.snap = snap
		none, err := noneUndecided(snap)
		if err != nil {
			return err
		}
		v.noneUndecided = none
		if err := v.readLoose(); err != nil {
			return err
		}
		if err := v.blocks(); err != nil {
			return err
		}
		shares, err := sharesOf(snap)
		if err != nil {
			return err
		}
		for _, share := range shares {
			if err := v.verifyShare(share); err != nil {
				return err
			}
		}
		v.strays()
		return v.journal()
	})
	return v.report, err
}

type verifier struct {
	ctx      context.Context
	snap     snapshot
	admit    AdmitFunc
	strategy Strategy
	// noneUndecided: the store records that nothing is undecided.
	noneUndecided bool
	progress      func(int)
	checked       int
	report        VerifyReport
	loose         looses
	damaged       map[uint64]error // blocks by their slot
	reported      map[uint64]bool  // those of them that are some member's

	share Share                 // the one at hand
	waits map[ibgib.Hash]uint32 // waiting records by referrer
}

func (v *verifier) problem(kind, item, format string, args ...any) {
	if len(v.report.Problems) >= maxListed {
		v.report.More++
		return
	}
	v.report.Problems = append(v.report.Problems, Problem{kind, item, fmt.Sprintf(format, args...)})
}

// step counts one record, and tells of it now and then.
func (v *verifier) step() error {
	v.checked++
	if v.progress != nil && v.checked%1000 == 0 {
		v.progress(v.checked)
	}
	return v.ctx.Err()
}

func (v *verifier) readLoose() error {
	return v.snap.scan([]byte{prefixLoose}, nil, func(key, value []byte) (bool, error) {
		l, err := decodeLoose(value)
		if err != nil {
			return false, corrupt("loose range", key, err)
		}
		v.loose.set(binary.BigEndian.Uint64(key[1:]), l)
		return true, nil
	})
}

func (v *verifier) isLoose(m member) bool {
	_, loose := v.loose.at(v.share, m.seq)
	return loose
}

// blocks recomputes every gib. What is wrong is reported with the members whose
// block it is.
func (v *verifier) blocks() error {
	return v.snap.scan([]byte{prefixBlock}, nil, func(key, value []byte) (bool, error) {
		v.report.Blocks++
		if _, err := checkBlock(value); err != nil {
			v.damaged[blockSlot(key)] = err
		}
		return true, v.step()
	})
}

// strays reports the damaged blocks of no member.
func (v *verifier) strays() {
	for _, slot := range slices.Sorted(maps.Keys(v.damaged)) {
		if !v.reported[slot] {
			v.problem("gib", fmt.Sprintf("block %d", slot), "%v", v.damaged[slot])
		}
	}
}

func (v *verifier) verifyShare(share Share) error {
	v.share = share
	v.waits = make(map[ibgib.Hash]uint32)
	if err := v.waiting(); err != nil {
		return err
	}
	history, err := v.entries()
	if err != nil {
		return err
	}
	if err := v.pins(); err != nil {
		return err
	}
	return v.snap.scan(sharePrefix(prefixMember, share), nil, func(key, value []byte) (bool, error) {
		if share == DefaultShare {
			v.report.IbGibs++
		}
		h := lastHash(key)
		m, err := decodeMember(h, value)
		if err != nil {
			v.problem("member", h.String(), "%v", err)
			return true, v.step()
		}
		if err := v.member(h, m, history); err != nil {
			return false, err
		}
		return true, v.step()
	})
}

// waiting checks that each waiting record names a target that is not there,
// and counts the records of each referrer.
func (v *verifier) waiting() error {
	return v.snap.scan(sharePrefix(prefixWaiting, v.share), nil, func(key, value []byte) (bool, error) {
		referrer := lastHash(key)
		target := ibgib.Hash(key[5 : 5+32])
		v.waits[referrer]++
		r := reader{b: value}
		asked := r.addr()
		if err := r.end(); err != nil {
			v.problem("waiting", referrer.String(), "%v", err)
			return true, v.step()
		}
		m, found, err := v.get(target)
		if err != nil {
			return false, err
		}
		if found && m.closed && m.addr == asked {
			v.problem("waiting", referrer.String(), "waits for %s, which is closed", asked)
		}
		return true, v.step()
	})
}

// get returns a membership; one that does not decode counts as missing, since
// it is reported in its own place.
func (v *verifier) get(h ibgib.Hash) (member, bool, error) {
	m, found, err := memberOf(v.snap, v.share, h)
	if errors.Is(err, ErrCorrupt) {
		return member{}, false, nil
	}
	return m, found, err
}

func (v *verifier) frame(a ibgib.Addr) (timeline.Frame, bool, error) {
	h, ok := a.Hash()
	if !ok {
		return timeline.Frame{}, false, nil
	}
	m, found, err := v.get(h)
	if err != nil || !found || m.frame == nil || m.addr != a {
		return timeline.Frame{}, false, err
	}
	return *m.frame, true, nil
}

func (v *verifier) blockAt(a ibgib.Addr) (ibgib.IbGib, error) {
	h, ok := a.Hash()
	if !ok {
		return ibgib.IbGib{}, nil
	}
	m, found, err := v.get(h)
	if err != nil || !found {
		return ibgib.IbGib{}, err
	}
	g, err := blockOf(v.snap, m)
	if errors.Is(err, ErrNotFound) {
		return ibgib.IbGib{}, nil
	}
	return g, err
}

// member checks one membership against its block and its neighbours.
func (v *verifier) member(h ibgib.Hash, m member, history map[ibgib.Hash]bool) error {
	if err := v.damaged[m.slot]; err != nil {
		v.reported[m.slot] = true
		v.problem("gib", m.addr.String(), "%v", err)
		return nil
	}
	g, err := blockOf(v.snap, m)
	switch {
	case errors.Is(err, ErrNotFound):
		v.problem("member", m.addr.String(), "its block is not stored")
		return nil
	case errors.Is(err, ErrCorrupt):
		v.problem("member", m.addr.String(), "its block is another one: %v", err)
		return nil
	case err != nil:
		return err
	}
	missing, err := v.unclosed(g)
	if err != nil {
		return err
	}
	if m.closed != (missing == 0) || m.missing != missing {
		v.problem("closed", m.addr.String(), "closed is %t with %d links to wait for, must be %t with %d", m.closed, m.missing, missing == 0, missing)
	}
	if v.waits[h] != missing {
		v.problem("waiting", m.addr.String(), "has %d waiting records, must have %d", v.waits[h], missing)
	}
	return v.memberFrame(h, m, g, history)
}

// unclosed counts the distinct link targets of g that are not closed members.
func (v *verifier) unclosed(g ibgib.IbGib) (uint32, error) {
	missing := uint32(0)
	var seen linkSet
	for target := range g.Targets() {
		th, ok := target.Hash()
		if !ok {
			continue
		}
		if _, repeated := seen.add(th, target); repeated {
			continue
		}
		t, found, err := v.get(th)
		if err != nil {
			return 0, err
		}
		if !found || !t.closed || !target.Is(t.addr) {
			missing++
		}
	}
	return missing, nil
}

// memberFrame checks what the index says of a block as a frame.
func (v *verifier) memberFrame(h ibgib.Hash, m member, g ibgib.IbGib, history map[ibgib.Hash]bool) error {
	_, claims := timeline.Claims(g)
	if !claims || !m.closed {
		if m.frame != nil {
			v.problem("frame", m.addr.String(), "is in the index, but is no closed frame")
		}
		return nil
	}
	want, err := timeline.Admit(g, v.frame, v.blockAt)
	var rejected *timeline.Rejection
	if errors.As(err, &rejected) && rejected.Rule == timeline.RuleKeystone && v.admit != nil {
		rejected = nil
		want, err = v.admit(g, v.frame, v.blockAt)
		errors.As(err, &rejected)
	}
	if err != nil && rejected == nil {
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) {
			return nil // reported in its own place
		}
		return err
	}
	key := shareKey(prefixRejected, v.share, h)
	b, noted, err := v.snap.get(key)
	if err != nil {
		return err
	}
	if j, err := decodeRejection(b); noted && err == nil && j.Rule == RuleUndecided && m.frame == nil {
		v.undecided("frame", m.addr)
		return nil
	}
	switch {
	case rejected != nil && m.frame != nil:
		v.problem("frame", m.addr.String(), "is in the index, but rule %s keeps it out", rejected.Rule)
	case rejected != nil && !noted:
		v.problem("frame", m.addr.String(), "rule %s keeps it out, which is not recorded", rejected.Rule)
	case rejected == nil && m.frame == nil:
		v.problem("frame", m.addr.String(), "is missing from the index")
	case rejected == nil && !sameFrame(*m.frame, want):
		v.problem("frame", m.addr.String(), "the index has %+v, must have %+v", *m.frame, want)
	case rejected == nil && want.IsUser() && !history[h] && !v.isLoose(m) && !v.isForgotten(want.Tjp):
		v.problem("head", m.addr.String(), "is in the history of no head of %s", want.Tjp)
	}
	return nil
}

// isForgotten tells whether a timeline is to have no entry.
func (v *verifier) isForgotten(tjp ibgib.Addr) bool {
	root, _ := tjp.Hash()
	has, err := v.snap.has(shareKey(prefixForgotten, v.share, root))
	return err == nil && has
}

func sameFrame(a, b timeline.Frame) bool {
	return a.Addr == b.Addr && a.Tjp == b.Tjp && a.Kind == b.Kind && a.N == b.N && a.HasN == b.HasN &&
		a.Pred == b.Pred && a.HasMergeList == b.HasMergeList && slices.Equal(a.Links, b.Links)
}
