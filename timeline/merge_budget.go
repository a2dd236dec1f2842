package timeline

import "errors"

// ErrOverBudget ends a computation of a merge that its Budget does not cover. It
// says nothing about the frames: asked again with a larger budget, the answer is
// what it would have been at once.
var ErrOverBudget = errors.New("the budget for computing merges is used up")

// Budget bounds what computations of merges may cost together, counted in bytes
// that are read, changed or printed; a frame or link that is passed on the way
// counts as some as well. A hundred million are about a second. A nil Budget has no
// bound. It must not be used from two goroutines at once.
type Budget struct{ left int64 }

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{left: bytes} }

// Left returns what has not been spent.
func (b *Budget) Left() int64 { return b.left }

// What it costs to pass a frame and a link between frames, in bytes.
const (
	frameToll = 256
	linkToll  = 32
)

func (b *Budget) spend(bytes int) error {
	if b == nil {
		return nil
	}
	if b.left < int64(bytes) {
		return ErrOverBudget
	}
	b.left -= int64(bytes)
	return nil
}
