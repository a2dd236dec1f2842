package scheduler

import (
	"slices"
	"time"
)

const (
	// few peers are all told of a change at once; of more, those of the fan.
	few = 8
	// fanBase is the base of the distances in a fan.
	fanBase = 4
	// Who is not in the fan is told lazyAfter, and up to lazyEach for each peer, after
	// the change, unless the two have learned by then that both have it.
	lazyAfter = time.Second
	lazyEach  = 20 * time.Millisecond
)

// fan returns which of its peers a node tells of a change at once: all if they are few.
// Else all nodes of a share, in the order of their ids, form a ring, and each tells those
// at the distances 1, 2, 3, 4, 8, 12, 16, 32, 48 and so on: the fingers of Chord (Stoica
// et al., 2001) with base 4. If everyone is connected with everyone, a change comes to n
// nodes in log4 n hops, no node tells, or serves, more than 3 log4 n others for it, and
// each is told by as many, so some may fail. Where views of the ring differ, or nodes are
// gone, whoever was left out is told later.
func fan(self Peer, peers []Peer) map[Peer]bool {
	told := make(map[Peer]bool)
	if len(peers) <= few {
		for _, p := range peers {
			told[p] = true
		}
		return told
	}
	ring := append(slices.Clone(peers), self)
	slices.Sort(ring)
	at, _ := slices.BinarySearch(ring, self)
	for stride := 1; stride < len(ring); stride *= fanBase {
		for digit := 1; digit < fanBase && digit*stride < len(ring); digit++ {
			told[ring[(at+digit*stride)%len(ring)]] = true
		}
	}
	return told
}
