package timeline

import (
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// MissingError says that a block is not stored that has to be, because another
// one links to it.
type MissingError struct {
	Addr     ibgib.Addr
	Referrer ibgib.Addr
}

// Error names both addresses.
func (e *MissingError) Error() string {
	return fmt.Sprintf("timeline: %s is not stored, though %s links to it", shown(e.Addr), shown(e.Referrer))
}

// Walker yields what a receiver lacks of the closures of wanted heads, each
// ibGib once, dependencies first: stones and dna before the frames that need
// them, a frame of another timeline before the frame that refers to it, frames
// from the oldest to the newest. The wanted heads are taken by tjp address; the
// same input gives the same sequence.
//
// It stops at the frames that the receiver has, and at what these link to. Other
// blocks that the receiver may happen to hold (stones, dna, frames of timelines
// that it did not name) are yielded.
//
// A Walker is resumable: the caller pulls as its windows allow, and may add heads
// between two pulls. It keeps the hash of each frame and block it passed, for a
// timeline that it is in the addresses of the frames to be sent, and some 16 MiB
// of opened blocks. It must not be used from two goroutines at once.
type Walker struct {
	frame FrameLookup
	block Lookup
	have  func(Frame) (bool, error)

	wanted []Frame // not yet begun
	pile   pile
	chains []chain // those that the walk is in, innermost last
	state  map[ibgib.Hash]walkState
	err    error
}

// walkState is what a Walker knows of a block it passed.
type walkState uint8

const (
	walkUnseen walkState = iota
	walkTaken            // yielded, or being walked
	walkHad              // the receiver has it
	walkHadAll           // the same, and its links are marked as had
)

// chain holds the frames of one timeline that are to be sent, oldest last.
type chain struct {
	addrs []ibgib.Addr
	depth int // height of the pile at which it goes on
}

// NewWalker returns a Walker without heads. have tells that the receiver has a
// frame, and so its closure; it is asked at most once for each frame, along a
// timeline from the newest to the oldest (History answers such questions in one
// walk). A nil have is for a receiver that has nothing: then the blocks tell
// most of what the frames would.
func NewWalker(frame FrameLookup, block Lookup, have func(Frame) (bool, error)) *Walker {
	return &Walker{frame: frame, block: block, have: have, state: make(map[ibgib.Hash]walkState)}
}

// Add wants further heads, or any frames; they come after those added before.
func (w *Walker) Add(heads ...Frame) {
	sorted := slices.SortedStableFunc(slices.Values(heads), func(a, b Frame) int {
		if c := ibgib.CompareAddr(a.Tjp, b.Tjp); c != 0 {
			return c
		}
		return Compare(a, b)
	})
	w.wanted = append(w.wanted, sorted...)
}

// Next returns the next ibGib, false when there is none until more heads are
// added. A missing block is a *MissingError. After an error, of a lookup or its
// own, the Walker is at its end and repeats the error.
func (w *Walker) Next() (ibgib.IbGib, bool, error) {
	if w.err != nil {
		return ibgib.IbGib{}, false, w.err
	}
	for {
		g, more, err := w.step()
		if err != nil {
			w.err = err
			return ibgib.IbGib{}, false, err
		}
		if !g.IsZero() || !more {
			return g, more, nil
		}
	}
}

// Had reports whether the walk has left a block out because the receiver has it.
func (w *Walker) Had(h ibgib.Hash) bool {
	state := w.state[h]
	return state == walkHad || state == walkHadAll
}

// step does one piece of work; it returns the ibGib that this finished, if any,
// and whether there was work.
func (w *Walker) step() (done ibgib.IbGib, more bool, err error) {
	if n := len(w.chains); n > 0 && w.chains[n-1].depth == len(w.pile.visits) {
		c := &w.chains[n-1]
		if len(c.addrs) == 0 {
			w.chains = w.chains[:n-1]
			return done, true, nil
		}
		last := len(c.addrs) - 1
		w.enter(c.addrs[last])
		c.addrs = c.addrs[:last]
		return done, true, nil
	}
	if !w.pile.empty() {
		done, err = w.visit()
		return done, true, err
	}
	if len(w.wanted) > 0 {
		f := w.wanted[0]
		w.wanted = w.wanted[1:]
		return done, true, w.begin(f)
	}
	return done, false, nil
}

// enter puts a block on the pile unless it was passed before.
func (w *Walker) enter(a ibgib.Addr) {
	h, _ := a.Hash()
	if w.state[h] == walkUnseen {
		w.state[h] = walkTaken
		w.pile.push(a)
	}
}

// visit works on the top of the pile: opens it, goes to its next link, or leaves
// it, which yields it.
func (w *Walker) visit() (done ibgib.IbGib, err error) {
	v := w.pile.top()
	if !v.open {
		g, err := w.read(v.addr)
		if err != nil {
			return done, err
		}
		if v.linked && g.IsTjp() {
			if f, ok, err := w.frame(v.addr); err != nil {
				return done, err
			} else if ok {
				w.pile.pop()
				w.state[g.Hash()] = walkUnseen
				return done, w.begin(f)
			}
		}
		var todo []ibgib.Addr
		size := g.Size()
		for a := range w.unseenLinks(g) {
			todo = append(todo, a)
			size += addrCost(a)
		}
		w.pile.open(g, size, todo)
		return done, nil
	}
	for len(v.todo) > 0 {
		a := v.todo[0]
		v.todo = v.todo[1:]
		if h, _ := a.Hash(); w.state[h] != walkUnseen {
			continue
		}
		if a.TjpGib() == "" {
			// A stone, dna or the first frame of a timeline: the block will
			// tell, and is needed in most cases anyway.
			w.enter(a)
			w.pile.top().linked = true
			return done, nil
		}
		f, ok, err := w.frame(a)
		if err != nil {
			return done, err
		}
		if ok {
			return done, w.begin(f)
		}
		w.enter(a)
		return done, nil
	}
	done = v.block
	w.pile.pop()
	return done, nil
}

// unseenLinks returns the links of g that were not passed before.
func (w *Walker) unseenLinks(g ibgib.IbGib) func(yield func(ibgib.Addr) bool) {
	return func(yield func(ibgib.Addr) bool) {
		for to := range g.Targets() {
			if h, ok := to.Hash(); ok && w.state[h] == walkUnseen && !yield(to.Addr()) {
				return
			}
		}
	}
}

// begin lists the frames from f down to the first that was passed or that the
// receiver has, to be walked before anything else.
func (w *Walker) begin(f Frame) error {
	c := chain{depth: len(w.pile.visits)}
	if w.have == nil {
		return w.beginAll(c, f.Addr)
	}
	for {
		hash := f.Hash()
		state := w.state[hash]
		if state == walkUnseen {
			had, err := w.have(f)
			if err != nil {
				return err
			}
			if had {
				state = walkHad
				w.state[hash] = state
			}
		}
		if state != walkUnseen {
			if state == walkHad && len(c.addrs) > 0 {
				if err := w.markHad(f.Addr); err != nil {
					return err
				}
			}
			break
		}
		c.addrs = append(c.addrs, f.Addr)
		if f.Pred.IsZero() {
			break
		}
		var err error
		if f, err = w.frame.must(f.Pred, f.Addr); err != nil {
			return err
		}
	}
	if len(c.addrs) > 0 {
		w.chains = append(w.chains, c)
	}
	return nil
}

// largeFrame is the size of a frame above which it is not read for the sake of its
// predecessor alone, in bytes.
const largeFrame = 4 << 10

// beginAll is begin for a receiver that has nothing: c gets the frames from a down.
func (w *Walker) beginAll(c chain, a ibgib.Addr) error {
	large := false
	for {
		h, ok := a.Hash()
		if !ok || w.state[h] != walkUnseen {
			break
		}
		c.addrs = append(c.addrs, a)
		if large {
			f, err := w.frame.must(a, a)
			if err != nil {
				return err
			}
			a = f.Pred
			continue
		}
		g, err := w.read(a)
		if err != nil {
			return err
		}
		if g.IsTjp() {
			break
		}
		a, _ = g.LastRel(relPast)
		large = g.Size() > largeFrame
	}
	if len(c.addrs) > 0 {
		w.chains = append(w.chains, c)
	}
	return nil
}

// markHad marks what a frame links to as had by the receiver, who has the frame
// and so its closure. The frames above it mostly repeat these links.
func (w *Walker) markHad(a ibgib.Addr) error {
	h, _ := a.Hash()
	w.state[h] = walkHadAll
	g, err := w.read(a)
	if err != nil {
		return err
	}
	for a := range w.unseenLinks(g) {
		h, _ := a.Hash()
		w.state[h] = walkHad
	}
	return nil
}

// read reads a block that has to be stored.
func (w *Walker) read(a ibgib.Addr) (ibgib.IbGib, error) {
	g, err := w.block(a)
	if err == nil && g.IsZero() {
		missing := &MissingError{Addr: a}
		if n := len(w.pile.visits); n > 1 {
			missing.Referrer = w.pile.visits[n-2].addr
		}
		err = missing
	}
	return g, err
}
