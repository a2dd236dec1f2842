package node

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ibgib/ibgib-node/blockstore"
)

// places are how far the change logs of the shares, and the logs of the journal, have
// been read. A share that is missing has not been read at all.
type places struct {
	epoch   [16]byte // of all logs of the store
	seqs    map[blockstore.Share]uint64
	journal [blockstore.JournalLogs]uint64
}

// journalNames name the logs of the journal in an ID.
var journalNames = [blockstore.JournalLogs]string{blockstore.MergeLog: "m", blockstore.PeerLog: "p", blockstore.SagaLog: "s"}

// ends returns the ends of the change logs of all shares, and of the journal.
func (n *Node) ends(ctx context.Context) (places, error) {
	p := places{seqs: make(map[blockstore.Share]uint64)}
	journal, err := n.store.JournalEnd(ctx)
	if err != nil {
		return p, err
	}
	p.journal = journal.Seqs
	for _, sh := range n.shares.all() {
		end, err := sh.view.Place(ctx)
		if err != nil {
			return p, err
		}
		p.epoch = end.Epoch
		p.seqs[sh.number] = end.Seq
	}
	return p, nil
}

// of returns the place in the log of a share.
func (p places) of(number blockstore.Share) blockstore.Place {
	return blockstore.Place{Epoch: p.epoch, Seq: p.seqs[number]}
}

// keep drops the shares that are not listed.
func (p places) keep(list []*share) {
	maps.DeleteFunc(p.seqs, func(number blockstore.Share, _ uint64) bool {
		return !slices.ContainsFunc(list, func(sh *share) bool { return sh.number == number })
	})
}

// id returns the places as the ID of an event: the epoch in hex, a dash and the
// sequence of the default share, and for each named share of which something has been
// read a dot, its number, a dash and its sequence, and likewise for each log of the
// journal with its name.
func (p places) id() string {
	id := hex.EncodeToString(p.epoch[:]) + "-" + strconv.FormatUint(p.seqs[blockstore.DefaultShare], 10)
	for _, number := range slices.Sorted(maps.Keys(p.seqs)) {
		if seq := p.seqs[number]; number != blockstore.DefaultShare && seq > 0 {
			id += fmt.Sprintf(".%d-%d", number, seq)
		}
	}
	for log, seq := range p.journal {
		if seq > 0 {
			id += fmt.Sprintf(".%s-%d", journalNames[log], seq)
		}
	}
	return id
}

func parsePlaces(id string) (places, error) {
	p := places{seqs: make(map[blockstore.Share]uint64)}
	bad := fmt.Errorf("%w: %q is no event id", ErrInput, shorten(id))
	for i, part := range strings.Split(id, ".") {
		name, seq, _ := strings.Cut(part, "-")
		n, err := strconv.ParseUint(seq, 10, 64)
		if err != nil {
			return p, bad
		}
		if i == 0 {
			epoch, err := hex.DecodeString(name)
			if err != nil || len(epoch) != len(p.epoch) {
				return p, bad
			}
			p.epoch, p.seqs[blockstore.DefaultShare] = [16]byte(epoch), n
			continue
		}
		if log := slices.Index(journalNames[:], name); log >= 0 {
			p.journal[log] = n
			continue
		}
		number, err := strconv.ParseUint(name, 10, 32)
		if err != nil || i > maxShares {
			return p, bad
		}
		p.seqs[blockstore.Share(number)] = n
	}
	return p, nil
}
