package timeline

import "github.com/ibgib/ibgib-node/ibgib"

// heldBytes is about what a depth-first walk keeps of the blocks it has opened
// and not yet left.
const heldBytes = 16 << 20

// visit is one block that a walk is in.
type visit struct {
	addr  ibgib.Addr
	block ibgib.IbGib
	todo  []ibgib.Addr // links still to be followed
	cost  int          // bytes held by block and todo
	open  bool         // block and todo are held
	// linked: the address is a link with a bare hash, of which it is not known yet
	// whether it is a first frame.
	linked bool
}

// pile is the stack of a depth-first walk. It holds what heldBytes allows: when
// the visits on top exceed it, the lowest ones give up what they hold and read
// their block again when the walk comes back to them, by when more than
// heldBytes have been read above them. So hostile depth costs an address a
// level, and each such second read is paid for.
type pile struct {
	visits []visit
	held   int // bytes
	lowest int // no visit below holds anything
}

func (p *pile) empty() bool { return len(p.visits) == 0 }

func (p *pile) top() *visit { return &p.visits[len(p.visits)-1] }

func (p *pile) push(addr ibgib.Addr) {
	p.visits = append(p.visits, visit{addr: addr})
}

// open lets the top visit hold its block, if it will be needed, and its links.
func (p *pile) open(block ibgib.IbGib, size int, todo []ibgib.Addr) {
	last := len(p.visits) - 1
	v := &p.visits[last]
	v.block, v.todo, v.open = block, todo, true
	v.cost = size
	p.held += v.cost
	p.lowest = min(p.lowest, last)
	for p.held > heldBytes && p.lowest < last {
		p.release(p.lowest)
		p.lowest++
	}
}

func (p *pile) pop() {
	last := len(p.visits) - 1
	p.release(last)
	p.visits = p.visits[:last]
	p.lowest = min(p.lowest, last)
}

func (p *pile) release(i int) {
	v := &p.visits[i]
	p.held -= v.cost
	*v = visit{addr: v.addr}
}
