package saga_test

import (
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// TestCorruption runs the simulator with one message that arrives changed,
// twice, not at all or after the next one. Whatever follows, a machine that
// stops says so with a typed error, no head is without its closure, and a side
// that has not committed has its old heads.
func TestCorruption(t *testing.T) {
	seeds := seedsOf(t, 200)
	stopped := 0
	for seed := range seeds.all {
		if corrupted(t, seed) {
			stopped++
		}
		if t.Failed() {
			t.Fatalf("seed %d failed: SAGA_SEED=%d", seed, seed)
		}
	}
	t.Logf("%d of %d sagas stopped with an error", stopped, seeds.count)
}

func corrupted(t *testing.T, seed uint64) (stopped bool) {
	random := rand.New(rand.NewPCG(seed, 2))
	spaces := [2]*space{openSpace(t, 2*seed), openSpace(t, 2*seed+1)}
	defer spaces[0].close()
	defer spaces[1].close()
	grow(random, spaces, 5+random.IntN(30))
	old := [2][]timeline.Entry{spaces[0].heads(), spaces[1].heads()}

	s := newSim(t, random, sha256.New(), spaces)
	turn := random.IntN(20)
	var kept saga.Message
	s.onTheWay = func(_ *simSide, m saga.Message) []saga.Message {
		turn--
		switch {
		case kept != nil:
			late := kept
			kept = nil
			return []saga.Message{m, late}
		case turn != -1:
			return []saga.Message{m}
		}
		switch random.IntN(6) {
		case 0:
			return []saga.Message{m, m}
		case 1:
			return nil
		case 2:
			kept = m
			return nil
		default:
			return []saga.Message{corrupt(random, m)}
		}
	}
	if !s.run(-1) {
		return false
	}
	for i, side := range s.sides {
		if err := s.failed[i]; err != nil {
			stopped = true
			var e *saga.Error
			if !errors.As(err, &e) || e.Code != saga.CodeProtocol && e.Code != saga.CodeLimit &&
				e.Code != saga.CodeRefused && e.Code != saga.CodeUnsupported {
				t.Errorf("side %d: %v", i, err)
			}
		}
		if !side.committed && !sameHeads(spaces[i].heads(), old[i]) {
			t.Errorf("side %d: heads moved without a commit", i)
		}
		s.closed(i)
	}
	return stopped
}

func (s *sim) fail(side *simSide, err error) {
	for i := range s.sides {
		if s.sides[i] == side {
			s.failed[i] = err
		}
	}
}

// corrupt returns a message with something changed.
func corrupt(random *rand.Rand, m saga.Message) saga.Message {
	hash := func(list []ibgib.Hash) []ibgib.Hash {
		list = slices.Clone(list)
		if len(list) > 0 {
			i := random.IntN(len(list))
			switch random.IntN(4) {
			case 0:
				list[i][random.IntN(32)] ^= 1
			case 1:
				list = slices.Delete(list, i, i+1)
			case 2:
				list = append(list, list[i])
			case 3:
				j := random.IntN(len(list))
				list[i], list[j] = list[j], list[i]
			}
		}
		return list
	}
	entries := func(list []timeline.Entry) []timeline.Entry {
		list = slices.Clone(list)
		if len(list) > 0 {
			i := random.IntN(len(list))
			switch random.IntN(3) {
			case 0:
				list[i].Root[0] ^= 1
			case 1:
				list[i].Heads = hash(list[i].Heads)
			case 2:
				list = slices.Delete(list, i, i+1)
			}
		}
		return list
	}
	wants := func(list []saga.Want) []saga.Want {
		list = slices.Clone(list)
		if len(list) > 0 {
			i := random.IntN(len(list))
			switch random.IntN(4) {
			case 0:
				list[i].Root[0] ^= 1
			case 1:
				list[i].Heads = hash(list[i].Heads)
			case 2:
				list[i].Known = hash(list[i].Known)
			case 3:
				list = slices.Delete(list, i, i+1)
			}
		}
		return list
	}
	switch m := m.(type) {
	case *saga.Init:
		c := *m
		switch random.IntN(6) {
		case 0:
			c.Entries = entries(c.Entries)
			c.Count = uint64(len(c.Entries))
		case 1:
			c.Complete = !c.Complete
		case 2:
			c.Fresh = !c.Fresh
		case 3:
			c.Credit = random.Uint64()
		case 4:
			c.Count++
		case 5:
			c.Fingerprint[0] ^= 1
		}
		return &c
	case *saga.Ack:
		c := *m
		switch random.IntN(7) {
		case 0:
			c.Entries = entries(c.Entries)
		case 1:
			c.Wants = wants(c.Wants)
		case 2:
			c.More = !c.More
		case 3:
			c.Fresh = !c.Fresh
		case 4:
			c.Equal = !c.Equal
		case 5:
			c.NeedEntries = !c.NeedEntries
		case 6:
			c.Credit = random.Uint64()
		}
		return &c
	case *saga.Delta:
		c := *m
		var ways []func()
		add := func(ok bool, way func()) {
			if ok {
				ways = append(ways, way)
			}
		}
		add(len(c.Entries) > 0, func() { c.Entries = entries(c.Entries) })
		add(len(c.Wants) > 0, func() { c.Wants = wants(c.Wants) })
		add(len(c.Offers) > 0, func() { c.Offers = hash(c.Offers) })
		add(c.Answer != nil, func() {
			a := *c.Answer
			a.Lacks = slices.Clone(a.Lacks)
			if len(a.Lacks) > 0 && random.IntN(2) == 0 {
				a.Lacks[random.IntN(len(a.Lacks))] ^= 1 << random.IntN(8)
			} else {
				a.Count++
			}
			c.Answer = &a
		})
		add(c.Answer != nil, func() { c.Answer = nil })
		add(len(c.Items) > 0, func() {
			i := random.IntN(len(c.Items))
			c.Items = slices.Clone(c.Items)
			switch random.IntN(4) {
			case 0:
				b := slices.Clone(c.Items[i].Bytes)
				b[random.IntN(len(b))] ^= 1
				c.Items[i].Bytes = b
			case 1:
				c.Items = slices.Delete(c.Items, i, i+1)
			case 2:
				c.Items = append(c.Items, c.Items[i])
			case 3:
				j := random.IntN(len(c.Items))
				c.Items[i], c.Items[j] = c.Items[j], c.Items[i]
			}
		})
		add(true, func() { c.Done = !c.Done })
		add(true, func() { c.WantsDone = !c.WantsDone })
		add(true, func() { c.EntriesDone = !c.EntriesDone })
		add(true, func() { c.Credit = random.Uint64() >> random.IntN(64) })
		ways[random.IntN(len(ways))]()
		return &c
	case *saga.Commit:
		c := *m
		switch random.IntN(3) {
		case 0:
			c.Digest[0] ^= 1
		case 1:
			c.ID[0] ^= 1
		case 2:
			c.Conflicts = make([]ibgib.Hash, saga.MaxConflicts+1)
		}
		return &c
	}
	return m
}
