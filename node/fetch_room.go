package node

import (
	"sync"
	"time"

	"github.com/ibgib/ibgib-node/saga"
)

// maxFetchLarge bounds what the fetches of a node have in memory of blocks that come in
// pieces, in bytes: two of the largest ones.
const maxFetchLarge = 2 * saga.MaxTotal

// errNoRoom is for a peer whose block has given way to others.
var errNoRoom = &saga.Error{Code: saga.CodeBusy, Retry: true, Text: "too many large ibGibs came at the same time, and its one was the slowest: fetch it again later"}

// fetchRoom is the room for blocks that come in pieces. If there is too little, the one
// that comes most slowly gives way, so nobody waits for room.
type fetchRoom struct {
	most int64

	mu   sync.Mutex
	used int64
	held []*heldRoom
}

// heldRoom is what one peer has of it.
type heldRoom struct {
	room   *fetchRoom
	giveUp func(cause error) // ends the question to the peer
	// fetchRoom.mu guards what follows.
	bytes  int64
	pieces int
	began  time.Time // when it was asked
	last   time.Time // when the last piece came
	gone   bool      // it has given way
}

// hold begins a question that may have an answer in pieces.
func (r *fetchRoom) hold(giveUp func(cause error), now time.Time) *heldRoom {
	return &heldRoom{room: r, giveUp: giveUp, began: now, last: now}
}

// take takes room for a piece. It fails if the block has given way.
func (h *heldRoom) take(bytes int64, now time.Time) error {
	r := h.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.gone {
		return errNoRoom
	}
	if h.bytes == 0 {
		r.held = append(r.held, h)
	}
	h.bytes += bytes
	h.pieces++
	h.last = now
	r.used += bytes
	for r.used > r.most {
		slowest := r.held[0]
		for _, other := range r.held[1:] {
			if other.slowness(now) > slowest.slowness(now) {
				slowest = other
			}
		}
		r.remove(slowest)
		slowest.gone = true
		if slowest == h {
			return errNoRoom
		}
		slowest.giveUp(errNoRoom)
	}
	return nil
}

// slowness is how long a piece takes to come.
func (h *heldRoom) slowness(now time.Time) time.Duration {
	return max(now.Sub(h.last), h.last.Sub(h.began)/time.Duration(h.pieces))
}

// release gives the room back.
func (h *heldRoom) release() {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	h.room.remove(h)
}

// remove takes one out, if it has room. mu is held.
func (r *fetchRoom) remove(h *heldRoom) {
	for i, other := range r.held {
		if other == h {
			r.held = append(r.held[:i], r.held[i+1:]...)
			r.used -= h.bytes
			return
		}
	}
}
