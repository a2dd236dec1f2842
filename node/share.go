package node

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/saga"
)

// Direction says which way a named share syncs, seen from this node.
type Direction string

// The directions.
const (
	SendReceive Direction = "send-receive"
	SendOnly    Direction = "send-only"    // nothing that members have comes here
	ReceiveOnly Direction = "receive-only" // what is changed here stays here
)

func (d Direction) check() error {
	switch d {
	case SendReceive, SendOnly, ReceiveOnly:
		return nil
	}
	return fmt.Errorf("%w: there is no direction %q: it is %s, %s or %s", ErrInput, shorten(string(d)), SendReceive, SendOnly, ReceiveOnly)
}

// mode returns which way payload may travel, as the side with the role says it.
func (d Direction) mode(of saga.Role) saga.Mode {
	switch {
	case d == SendReceive || d == "":
		return saga.ModeSync
	case (d == SendOnly) == (of == saga.Initiator):
		return saga.ModePush
	default:
		return saga.ModePull
	}
}

// share is one share as the rest of the node uses it: the default one, or a named one.
// It is never changed; a change of a named share makes another one.
type share struct {
	number blockstore.Share
	view   *blockstore.View
	shareRecord
}

// shareRecord is what the store keeps of a named share.
type shareRecord struct {
	Name string `json:"name"`
	// ID names it to its members; empty for the default share.
	ID        string    `json:"id"`
	Direction Direction `json:"direction"`
	// Strategy is for timelines of the share that have diverged, where it is stricter than
	// that of the node.
	Strategy saga.Strategy `json:"strategy,omitzero"`
	Members  []peer.ID     `json:"members"` // by their text
	Created  time.Time     `json:"created"`
}

// DefaultShareName names the default share where one is asked for by name.
const DefaultShareName = "default"

// label is the name that is shown; empty for the default share.
func (s *share) label() string {
	if s.ID == "" {
		return ""
	}
	return s.Name
}

// isNamed tells a named share from the default one.
func (s *share) isNamed() bool { return s.ID != "" }

// has tells whether a trusted peer is a member.
func (s *share) has(p peer.ID) bool { return !s.isNamed() || slices.Contains(s.Members, p) }

// strategyBy says who wants the strategy that has ruled a saga, where that is not
// optimistic; asked is what its options said. See SyncResult.StrategyBy.
func (n *Node) strategyBy(sh *share, asked saga.Strategy, r saga.Result) []StrategySource {
	if r.Strategy == saga.StrategyOptimistic {
		return nil
	}
	if now := n.shares.current(sh); now != nil {
		sh = now
	}
	var by []StrategySource
	for _, from := range []struct {
		source StrategySource
		wants  saga.Strategy
	}{{StrategyOfSync, asked}, {StrategyOfNode, n.strategy}, {StrategyOfShare, sh.Strategy}, {StrategyOfPeer, r.PeerStrategy}} {
		if from.wants >= r.Strategy {
			by = append(by, from.source)
		}
	}
	return by
}

// strategyOf returns the strategy for diverged timelines of a share, as it is now: the
// stricter of the share's and the node's.
func (n *Node) strategyOf(sh *share) saga.Strategy {
	if now := n.shares.current(sh); now != nil {
		sh = now
	}
	return max(n.strategy, sh.Strategy)
}

func (r shareRecord) encode() ([]byte, error) { return json.Marshal(r) }

func decodeShare(text []byte) (r shareRecord, err error) {
	if err = json.Unmarshal(text, &r); err == nil {
		err = r.Direction.check()
	}
	if err == nil {
		err = checkShareID(r.ID)
	}
	return r, err
}

// Length of a share's id, in characters. A new one has 32, of 16 random bytes.
const (
	minShareID = 32
	maxShareID = 128
)

func newShareID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func checkShareID(id string) error {
	bad := len(id) < minShareID || len(id) > maxShareID
	for _, r := range id {
		bad = bad || !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z')
	}
	if bad {
		return fmt.Errorf("%w: %q is no id of a share; it has %d to %d of the characters 0-9 and a-z, and is shown by share list there",
			ErrInput, shorten(id), minShareID, maxShareID)
	}
	return nil
}

// maxShareName bounds the name of a share, in bytes.
const maxShareName = 64

func checkShareName(name string) error {
	bad := name == "" || len(name) > maxShareName
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		bad = bad || !letter && (i == 0 || r != '-' && r != '_' && r != '.')
	}
	if bad {
		return fmt.Errorf("%w: %q is no name for a share: it has up to %d letters, digits and . _ -, and begins with a letter or digit", ErrInput, shorten(name), maxShareName)
	}
	if name == DefaultShareName {
		return fmt.Errorf("%w: %s is the share that every trusted node is a member of", ErrInput, DefaultShareName)
	}
	return nil
}
