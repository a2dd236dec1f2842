package protocol

import (
	"bytes"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// The description of each message: its fields, in ascending order (so one
// message has one encoding), with the limit of each. A field that sync.proto
// marks as a place is not named, and so is skipped like an unknown one.

// envelope is what a frame of the stream holds: the saga's id, and exactly one
// message.
type envelope struct {
	id             saga.ID
	init           *saga.Init
	ack            *saga.Ack
	delta          *saga.Delta
	commit         *saga.Commit
	failure        *saga.Error
	hello          *Hello
	notice         *Notice
	keystoneFrames *KeystoneFrames
	working        *saga.Working
	seal           *saga.Seal
	fetch          *Fetch
	fetched        *Fetched
	vouch          *Vouch
}

func (c *coder) envelope(e *envelope) {
	c.fixed(1, e.id[:], optional)
	sub(c, 2, "init", &e.init, (*coder).sagaInit)
	sub(c, 3, "ack", &e.ack, (*coder).ack)
	sub(c, 4, "delta", &e.delta, (*coder).delta)
	sub(c, 5, "commit", &e.commit, (*coder).commit)
	sub(c, 6, "error", &e.failure, (*coder).failure)
	sub(c, 7, "hello", &e.hello, (*coder).hello)
	sub(c, 8, "notice", &e.notice, (*coder).notice)
	sub(c, 9, "keystone frames", &e.keystoneFrames, (*coder).keystoneFrames)
	sub(c, 10, "working", &e.working, (*coder).working)
	sub(c, 11, "seal", &e.seal, (*coder).seal)
	sub(c, 12, "fetch", &e.fetch, (*coder).fetch)
	sub(c, 13, "fetched", &e.fetched, (*coder).fetched)
	sub(c, 14, "vouch", &e.vouch, (*coder).vouch)
	if c.pass == finish {
		switch c.has(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14) {
		case 0:
			c.fail(saga.CodeUnsupported, "holds no message that is known here")
		case 1:
		default:
			c.fail(saga.CodeProtocol, "holds more than one message")
		}
	}
	if c.whole() {
		ofSaga := e.init != nil || e.ack != nil || e.delta != nil || e.commit != nil || e.working != nil || e.seal != nil
		switch {
		case ofSaga && e.id == saga.ID{}:
			c.fail(saga.CodeProtocol, "the saga id is missing")
		case !ofSaga && e.failure == nil && e.id != saga.ID{}:
			c.fail(saga.CodeProtocol, "a saga id where none belongs")
		}
	}
}

func (c *coder) sagaInit(m *saga.Init) {
	c.strs(1, &m.Features, saga.MaxFeatures, saga.MaxFeature)
	choice(c, 2, &m.Mode, saga.ModePush)
	choice(c, 3, &m.Strategy, saga.StrategyAbort)
	c.nested(4, "scope", len(m.Shares)+len(m.Roots) > 0, false, func() {
		c.strs(1, &m.Shares, saga.MaxShares, MaxShare)
		c.hashes(2, &m.Roots, saga.MaxRoots)
	})
	c.fixed(5, m.Fingerprint[:], required)
	c.uint(6, &m.Count)
	sub(c, 7, "cursor", &m.Cursor, (*coder).cursor)
	list(c, 8, "entry", &m.Entries, saga.MaxEntries, (*coder).entry)
	c.flag(9, &m.Complete)
	c.flag(11, &m.Fresh)
	c.uint(12, &m.Credit)
	c.hashes(13, &m.Forgotten, saga.MaxForgotten)
	c.fixed(14, m.Without[:], optional)
}

func (c *coder) cursor(m *saga.Cursor) {
	c.fixed(1, m.Epoch[:], required)
	c.uint(2, &m.Sequence)
}

func (c *coder) entry(m *timeline.Entry) {
	c.fixed(1, m.Root[:], required)
	c.hashes(2, &m.Heads, saga.MaxHeads)
	if c.whole() {
		for i := 1; i < len(m.Heads); i++ {
			if bytes.Compare(m.Heads[i-1][:], m.Heads[i][:]) >= 0 {
				c.fail(saga.CodeProtocol, "field 2: the heads are not in ascending order")
				break
			}
		}
	}
}

func (c *coder) ack(m *saga.Ack) {
	c.strs(1, &m.Features, saga.MaxFeatures, saga.MaxFeature)
	choice(c, 2, &m.Mode, saga.ModePush)
	choice(c, 3, &m.Strategy, saga.StrategyAbort)
	c.flag(4, &m.Equal)
	c.fixed(5, m.Fingerprint[:], optional)
	c.uint(6, &m.Count)
	list(c, 8, "entry", &m.Entries, saga.MaxEntries, (*coder).entry)
	c.flag(9, &m.NeedEntries)
	c.flag(11, &m.Fresh)
	c.uint(12, &m.Credit)
	list(c, 13, "want", &m.Wants, saga.MaxEntries, (*coder).want)
	c.flag(14, &m.More)
	c.hashes(15, &m.Forgotten, saga.MaxForgotten)
}

func (c *coder) want(m *saga.Want) {
	c.fixed(1, m.Root[:], required)
	c.hashes(2, &m.Heads, saga.MaxHeads)
	c.hashes(3, &m.Known, saga.MaxKnown)
	if c.whole() && len(m.Heads) == 0 {
		c.fail(saga.CodeProtocol, "field 2 is missing")
	}
}

func (c *coder) delta(m *saga.Delta) {
	c.hashes(1, &m.Offers, saga.MaxOffers)
	sub(c, 2, "answer", &m.Answer, (*coder).answer)
	list(c, 3, "item", &m.Items, saga.MaxItems, (*coder).item)
	c.flag(4, &m.Done)
	list(c, 8, "entry", &m.Entries, saga.MaxEntries, (*coder).entry)
	c.flag(9, &m.EntriesDone)
	c.uint(12, &m.Credit)
	list(c, 13, "want", &m.Wants, saga.MaxEntries, (*coder).want)
	c.flag(14, &m.WantsDone)
	if c.whole() && len(m.Items) > 1 {
		total := 0
		for i := range m.Items {
			total += len(m.Items[i].Bytes)
		}
		c.atMost(3, "bytes of payload in several items", total, saga.MaxPayload)
	}
}

func (c *coder) answer(m *saga.Answer) {
	if count, ok := c.scalar(1, uint64(m.Count)); ok {
		if count > saga.MaxOffers {
			c.fail(saga.CodeLimit, "field 1: answers %d offers, at most %d", count, saga.MaxOffers)
			return
		}
		m.Count = uint32(count)
	}
	c.data(2, &m.Lacks, (saga.MaxOffers+7)/8)
	if !c.whole() {
		return
	}
	switch n := int(m.Count); {
	case n == 0 || n > saga.MaxOffers:
		c.fail(saga.CodeProtocol, "field 1: answers %d offers, want 1 to %d", n, saga.MaxOffers)
	case len(m.Lacks) != (n+7)/8:
		c.fail(saga.CodeProtocol, "field 2 has %d bytes for %d offers", len(m.Lacks), n)
	case n%8 != 0 && m.Lacks[len(m.Lacks)-1]>>(n%8) != 0:
		c.fail(saga.CodeProtocol, "field 2 has bits set beyond %d offers", n)
	}
}

func (c *coder) item(m *saga.Item) {
	if c.pass == measure {
		c.checkItem(m)
	}
	full := m.Form == saga.FormFull
	if got, ok := c.blob(1, m.Bytes, full, false); ok {
		m.Form, m.Bytes = saga.FormFull, got[:len(got):len(got)]
	}
	if c.nested(2, "chunk", m.Form == saga.FormChunk, false, func() { c.chunk(m) }) {
		m.Form = saga.FormChunk
	}
	sub(c, 3, "derived", &m.Derived, (*coder).derived)
	if c.pass == finish {
		if c.has(1, 2, 3) != 1 {
			c.fail(saga.CodeProtocol, "has %d forms, want one", c.has(1, 2, 3))
			return
		}
		if m.Derived != nil {
			m.Form = saga.FormDerived
		}
		c.checkItem(m)
	}
}

// checkItem checks what a form demands.
func (c *coder) checkItem(m *saga.Item) {
	size := uint64(len(m.Bytes))
	switch {
	case (m.Form == saga.FormDerived) != (m.Derived != nil):
		c.fail(saga.CodeProtocol, "form and content differ")
	case m.Form == saga.FormDerived && size == 0:
	case m.Form != saga.FormFull && m.Form != saga.FormChunk:
		c.fail(saga.CodeProtocol, "form %d is not known", m.Form)
	case size == 0:
		c.fail(saga.CodeProtocol, "is empty")
	case size > saga.MaxItem:
		c.fail(saga.CodeLimit, "%d bytes, at most %d", size, saga.MaxItem)
	case m.Form == saga.FormFull:
		if m.Hash != (ibgib.Hash{}) || m.Offset != 0 || m.Total != 0 {
			c.fail(saga.CodeProtocol, "form and content differ")
		}
	case m.Total > saga.MaxTotal:
		c.fail(saga.CodeLimit, "chunks of %d bytes in all, at most %d", m.Total, saga.MaxTotal)
	case m.Offset > m.Total || size > m.Total-m.Offset:
		c.fail(saga.CodeProtocol, "chunk at %d of %d bytes ends beyond %d", m.Offset, size, m.Total)
	}
}

func (c *coder) chunk(m *saga.Item) {
	c.fixed(1, m.Hash[:], required)
	c.uint(2, &m.Offset)
	c.uint(3, &m.Total)
	c.data(4, &m.Bytes, saga.MaxItem)
}

func (c *coder) derived(m *saga.Derived) {
	c.str(1, &m.Addr, MaxAddr)
	c.fixed(2, m.Predecessor[:], required)
	c.fixed(3, m.Dna[:], required)
	if moment, ok := c.scalar(4, uint64(m.Time)); ok {
		m.Time = int64(moment)
	}
	c.flag(5, &m.HasMillis)
	if c.whole() && m.Addr == "" {
		c.fail(saga.CodeProtocol, "field 1 is missing")
	}
}

func (c *coder) commit(m *saga.Commit) {
	c.fixed(1, m.Digest[:], required)
	c.uint(2, &m.Count)
	c.nested(3, "totals", m.Received != saga.Totals{}, false, func() {
		c.uint(1, &m.Received.IbGibs)
		c.uint(2, &m.Received.Bytes)
	})
	c.hashes(4, &m.Conflicts, saga.MaxConflicts)
	c.uint(5, &m.Refused)
	c.nested(7, "cursor", m.StoreEpoch != [16]byte{} || m.LastSeq != 0, false, func() {
		c.fixed(1, m.StoreEpoch[:], required)
		c.uint(2, &m.LastSeq)
	})
	c.hashes(8, &m.Aborted, saga.MaxConflicts)
	list(c, 9, "refusal", &m.Refusals, saga.MaxRefusals, (*coder).refusal)
}

func (c *coder) refusal(m *saga.Refusal) {
	c.fixed(1, m.Hash[:], optional)
	rule := string(m.Rule)
	c.str(2, &rule, saga.MaxRefusalRule)
	m.Rule = ibgib.Rule(rule)
	c.str(3, &m.Detail, saga.MaxRefusalText)
}

func (c *coder) working(*saga.Working) {}

func (c *coder) seal(m *saga.Seal) {
	c.data(1, &m.Frame, saga.MaxSeal)
	if c.whole() && len(m.Frame) == 0 {
		c.fail(saga.CodeProtocol, "field 1 is missing")
	}
}

func (c *coder) failure(m *saga.Error) {
	if code, ok := c.scalar(1, uint64(m.Code)); ok {
		if code > uint64(saga.CodeUnreachable) {
			// A code of a later version: the text still helps.
			code = uint64(saga.CodeInternal)
		}
		m.Code = saga.Code(code)
	}
	c.str(2, &m.Text, saga.MaxErrorText)
	c.flag(3, &m.Retry)
	c.str(5, &m.Reason, saga.MaxErrorReason)
	if c.whole() && m.Code == 0 {
		c.fail(saga.CodeProtocol, "field 1 is missing")
	}
}

func (c *coder) hello(m *Hello) {
	c.strs(1, &m.Features, saga.MaxFeatures, saga.MaxFeature)
	c.str(2, &m.Genesis, MaxAddr)
	c.str(3, &m.Session, MaxAddr)
	c.fixed(4, m.Nonce[:], required)
	c.data(6, &m.MeshSecretProof, MaxProof)
	c.data(7, &m.InviteProof, MaxProof)
	c.fixed(8, m.Known[:], optional)
	c.fixed(9, m.SessionKnown[:], optional)
}

func (c *coder) notice(m *Notice) {
	c.str(1, &m.Share, MaxShare)
	list(c, 2, "entry", &m.Timelines, saga.MaxEntries, (*coder).entry)
	if !c.whole() {
		return
	}
	if len(m.Timelines) == 0 {
		c.fail(saga.CodeProtocol, "field 2 is missing")
	}
	for i, e := range m.Timelines {
		if len(e.Heads) == 0 {
			c.fail(saga.CodeProtocol, "field 2: a timeline without heads")
		}
		if i > 0 && bytes.Compare(m.Timelines[i-1].Root[:], e.Root[:]) >= 0 {
			c.fail(saga.CodeProtocol, "field 2: the timelines are not in ascending order")
		}
	}
}

func (c *coder) keystoneFrames(m *KeystoneFrames) {
	c.str(1, &m.Genesis, MaxAddr)
	c.fixed(2, m.Known[:], optional)
	c.flag(3, &m.Reply)
	c.blobs(4, &m.Frames, MaxFrames, saga.MaxItem)
	c.flag(5, &m.More)
}

func (c *coder) fetch(m *Fetch) {
	c.fixed(1, m.Target[:], required)
	c.hashes(2, &m.Wants, MaxFetchWants)
	c.flag(3, &m.Ahead)
	if c.whole() && len(m.Wants) == 0 {
		c.fail(saga.CodeProtocol, "field 2 is missing")
	}
}

func (c *coder) fetched(m *Fetched) {
	list(c, 1, "item", &m.Items, MaxFetchWants, (*coder).item)
	c.hashes(2, &m.Absent, MaxFetchWants)
	c.hashes(3, &m.Ahead, MaxAhead)
}

func (c *coder) vouch(m *Vouch) {
	c.flag(1, &m.Reply)
	list(c, 2, "peer", &m.Peers, MaxVouched, (*coder).vouched)
}

func (c *coder) vouched(m *Vouched) {
	id := []byte(m.Peer)
	c.data(1, &id, MaxPeerID)
	m.Peer = peer.ID(id)
	c.str(2, &m.Genesis, MaxVouchedGenesis)
	if c.whole() && (m.Peer == "" || m.Genesis == "") {
		c.fail(saga.CodeProtocol, "a peer id or a keystone is missing")
	}
}
