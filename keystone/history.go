package keystone

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Status says what a keystone is good for.
type Status uint8

// The states of a keystone. Only a valid one authorises anything.
const (
	Valid Status = iota
	Revoked
	Disputed // a rival of one of its frames counts; until a person decides
)

// String returns the status as a lower-case word.
func (s Status) String() string {
	switch s {
	case Valid:
		return "valid"
	case Revoked:
		return "revoked"
	case Disputed:
		return "disputed"
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// History is a keystone as far as it has been replayed: a chain of valid frames
// from the first one to the tip. It remembers what the judgement of the next
// frame needs, so that a long keystone costs only its new frames; AppendBinary
// and Resume carry that over a restart.
//
// A History is not safe for concurrent use while it changes.
type History struct {
	genesis  ibgib.Addr
	uuid     string
	keys     []ed25519.PublicKey // that co-sign; only the first one does
	steps    []step
	seen     map[ChallengeID]int // n of the frame that brought it
	tip      parent
	disputes []int // places in the timeline where a rival counts
}

// step is what is remembered of one frame.
type step struct {
	hash   ibgib.Hash
	verb   string
	target [sha256.Size]byte // of the claim's target address
}

// Begin starts with the first frame of a keystone, which must have passed the
// gate. The error is an *Invalid.
func Begin(first ibgib.IbGib) (*History, error) {
	h := &History{seen: make(map[ChallengeID]int)}
	found := findings{frame: first.Addr()}
	d, _ := h.judgeFirst(&found, first)
	if err := found.err(); err != nil {
		return nil, err
	}
	h.begin(first, d)
	return h, nil
}

func (h *History) begin(first ibgib.IbGib, d Data) {
	h.genesis, h.uuid = first.Addr(), d.UUID
	h.commit(first, d)
}

// commit makes a frame the tip.
func (h *History) commit(g ibgib.IbGib, d Data) {
	n := len(h.steps)
	for _, p := range d.Pools {
		for _, c := range p.Challenges {
			if _, seen := h.seen[c.ID]; !seen {
				h.seen[c.ID] = n
			}
		}
	}
	s := step{hash: g.Hash()}
	if len(d.Proofs) > 0 {
		claim := d.Proofs[0].Claim
		s.verb, s.target = claim.Verb, sha256.Sum256([]byte(claim.Target.String()))
	}
	h.steps = append(h.steps, s)
	h.moveTip(g, d)
}

// moveTip keeps of the newest frame what the next one is judged by. The data as it
// was written takes several times the room of the frame.
func (h *History) moveTip(g ibgib.IbGib, d Data) {
	d.all = ibgib.Value{}
	h.tip = parent{g, d}
}

// RivalError says that a frame follows a frame that has another successor
// already. Weigh decides what that means.
type RivalError struct {
	Pred  ibgib.Addr // the frame that both follow
	Known ibgib.Addr // its successor in the history
	Rival ibgib.Addr
}

func (e *RivalError) Error() string {
	return fmt.Sprintf("keystone: %s and %s both follow %s", clip(e.Rival.String()), clip(e.Known.String()), clip(e.Pred.String()))
}

// Add judges the next frame, which must have passed the gate, and makes it the
// tip. A frame that is in the history already is passed over. The error is an
// *Invalid, or a *RivalError for a frame that follows another one than the tip;
// the history is then what it was.
func (h *History) Add(g ibgib.IbGib) error {
	if h.Has(g.Addr()) {
		return nil
	}
	if past, ok := g.LastRel(relPast); ok && past != h.tip.g.Addr() {
		if n, known := h.place(past); known {
			return &RivalError{Pred: past, Known: h.Addr(n + 1), Rival: g.Addr()}
		}
	}
	found := findings{frame: g.Addr(), n: len(h.steps)}
	d, _ := h.judgeNext(&found, h.tip, g)
	if err := found.err(); err != nil {
		return err
	}
	h.commit(g, d)
	return nil
}

// Genesis returns the address of the first frame, which names the keystone.
func (h *History) Genesis() ibgib.Addr { return h.genesis }

// Tip returns the newest frame.
func (h *History) Tip() ibgib.IbGib { return h.tip.g }

// Data returns the data of the newest frame. It is parsed anew by each call.
func (h *History) Data() Data {
	d, _ := Parse(h.tip.g)
	return d
}

// Len returns the number of frames.
func (h *History) Len() int { return len(h.steps) }

// Addr returns the address of frame n, the zero Addr if there is none.
func (h *History) Addr(n int) ibgib.Addr {
	switch {
	case n < 0 || n >= len(h.steps):
		return ibgib.Addr{}
	case n == 0:
		return h.genesis
	}
	a, _ := ibgib.ParseAddr(Ib + "^" + h.steps[n].hash.String() + "." + h.genesis.Gib())
	return a
}

// Has reports whether a frame is in the history.
func (h *History) Has(a ibgib.Addr) bool {
	_, ok := h.place(a)
	return ok
}

// Place returns the n of the frame with a hash; false if it is not in the history.
func (h *History) Place(hash ibgib.Hash) (n int, ok bool) {
	for n := len(h.steps) - 1; n >= 0; n-- {
		if h.steps[n].hash == hash {
			return n, true
		}
	}
	return 0, false
}

// place returns the n of a frame.
func (h *History) place(a ibgib.Addr) (int, bool) {
	hash, ok := a.Hash()
	if !ok {
		return 0, false
	}
	n, ok := h.Place(hash)
	return n, ok && h.Addr(n) == a
}

// CosigKeys returns the keys that the first frame lists; none for a keystone
// that is not co-signed. Only the first one signs.
func (h *History) CosigKeys() []ed25519.PublicKey { return slices.Clone(h.keys) }

// CosignedBy reports whether a key signs the frames.
func (h *History) CosignedBy(key ed25519.PublicKey) bool {
	return len(h.keys) > 0 && h.keys[0].Equal(key)
}

// IsSession reports whether the pools are those of a session; ReadSession judges one.
func (h *History) IsSession() bool {
	pools := h.tip.d.Pools
	return len(pools) == 1 && pools[0].shell == newPool(SessionConfig()).shell
}

// Status returns what the keystone is good for. A dispute comes before a
// revocation, because which of them holds is what a person has to decide.
func (h *History) Status() Status {
	switch {
	case len(h.disputes) > 0:
		return Disputed
	case h.tip.d.Revocation != nil:
		return Revoked
	}
	return Valid
}

// Signed returns the newest frame that claims verb about target.
func (h *History) Signed(verb string, target ibgib.Addr) (n int, ok bool) {
	want := sha256.Sum256([]byte(target.String()))
	for n := len(h.steps) - 1; n > 0; n-- {
		if h.steps[n].verb == verb && h.steps[n].target == want {
			return n, true
		}
	}
	return 0, false
}

// Clone returns a copy that changes apart, to try frames that may yet be
// dropped.
func (h *History) Clone() *History {
	c := *h
	c.steps = slices.Clone(h.steps)
	c.disputes = slices.Clone(h.disputes)
	c.seen = make(map[ChallengeID]int, len(h.seen))
	for id, n := range h.seen {
		c.seen[id] = n
	}
	return &c
}

// errNotInHistory is for frames that a caller says are in the history.
var errNotInHistory = errors.New("keystone: the frame is not in the history")

// Until returns the history of the frames up to one of them, as a copy. With it
// a person decides a dispute for the rival: Add it to the history until its
// predecessor.
func (h *History) Until(g ibgib.IbGib) (*History, error) {
	n, ok := h.place(g.Addr())
	if !ok {
		return nil, errNotInHistory
	}
	d, err := Parse(g)
	if err != nil {
		return nil, err
	}
	c := h.Clone()
	c.steps = c.steps[:n+1]
	for id, at := range c.seen {
		if at > n {
			delete(c.seen, id)
		}
	}
	c.disputes = slices.DeleteFunc(c.disputes, func(at int) bool { return at > n })
	c.moveTip(g, d)
	return c, nil
}
