package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

const (
	// keptSagas is how many sagas the local area remembers, and up to pruneEvery more.
	keptSagas = 1000
	// pruneEvery is how many are added before the oldest are forgotten, which takes
	// longer than to add one.
	pruneEvery = 32
)

// keepRecord stores the transcript of a saga in the local area, with a frame on
// top that says how the saga went here. A saga that had nothing to move leaves
// nothing behind.
//
// That frame follows the last of the transcript. Like those it links to the first
// frames of the session keystones that speak in it, as identity. Its data are
//
//	uuid                   the saga id
//	stage                  "record"
//	peer, role             the other side; initiator or responder, of this node
//	share                  name of the share, if it is not the default one
//	mode, strategy         the names that package saga gives them
//	began, ended           instants in RFC 3339
//	converged              a truth value
//	rounds, differing      numbers: round trips, timelines that differed
//	sent, received         {ibgibs, bytes}
//	wire                   {sent, received}: bytes of all messages
//	differed, conflicts,   root hashes of timelines: that differed, have diverged,
//	aborted                have diverged and were left as they were
//	refusals, peerRefusals [{hash, rule, detail}]: ibGibs refused here and there
//	rejections             [{addr, rule, detail}]: frames kept out here
//	refused, peerRefused   how many frames are kept out here and there
//	error                  {code, text}, if it failed
//
// where a list has at most 1,000 items.
func (n *Node) keepRecord(ctx context.Context, p peer.ID, sh *share, role saga.Role, asked saga.Strategy, began time.Time, r saga.Result) error {
	first := slices.IndexFunc(r.Transcript, ibgib.IbGib.IsTjp)
	if first < 0 {
		return nil
	}
	tjp, last := r.Transcript[first], r.Transcript[len(r.Transcript)-1]
	rel8ns := ibgib.Rel8ns{
		{Name: "ancestor", Addrs: last.Rel("ancestor")},
		{Name: "past", Addrs: []ibgib.Addr{last.Addr()}},
		{Name: "tjp", Addrs: []ibgib.Addr{tjp.Addr()}},
	}
	if sessions := identities(r.Transcript); len(sessions) > 0 {
		rel8ns = append(rel8ns, ibgib.Rel8n{Name: "identity", Addrs: sessions})
	}
	record, err := ibgib.New(last.Ib(), ibgib.Object(n.recordData(p, sh, role, asked, began, r)...), rel8ns)
	if err != nil {
		return err
	}
	return n.keepLocal(ctx, p, append(r.Transcript, record))
}

// identities returns the first frames of the sessions that speak in a transcript.
func identities(transcript []ibgib.IbGib) []ibgib.Addr {
	var list []ibgib.Addr
	for _, g := range transcript {
		for _, a := range g.Rel("identity") {
			if !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

// failureOf sorts the error of a saga.
func failureOf(err error) SagaFailure {
	e, ok := errors.AsType[*saga.Error](err)
	switch {
	case !ok:
		return SagaFailure{saga.CodeInternal.String(), err.Error()}
	case e.Remote:
		return SagaFailure{e.Code.String(), "the other side: " + e.Text}
	}
	return SagaFailure{e.Code.String(), e.Text}
}

// keepFailure stores what a saga that failed has come to, if anything moved in it.
// It has no transcript, so its record stands alone, and is its own tjp.
func (n *Node) keepFailure(ctx context.Context, p peer.ID, sh *share, role saga.Role, asked saga.Strategy, began time.Time, r saga.Result, failure error) {
	if r.Sent.IbGibs+r.Received.IbGibs == 0 {
		return
	}
	why := failureOf(failure)
	data := append(n.recordData(p, sh, role, asked, began, r),
		ibgib.Member{Name: "isTjp", Value: ibgib.Bool(true)},
		ibgib.Member{Name: "error", Value: ibgib.Object(
			ibgib.Member{Name: "code", Value: ibgib.String(why.Code)},
			ibgib.Member{Name: "text", Value: foreign(why.Text)},
		)},
	)
	ancestor, err := ibgib.ParseAddr("sync^gib")
	var record ibgib.IbGib
	if err == nil {
		record, err = ibgib.New("sync "+r.SagaID.String(), ibgib.Object(data...), ibgib.Rel8ns{{Name: "ancestor", Addrs: []ibgib.Addr{ancestor}}})
	}
	if err == nil {
		err = n.keepLocal(ctx, p, []ibgib.IbGib{record})
	}
	if err != nil {
		n.log.Warn("record of a failed saga not stored", "saga", r.SagaID, "error", err)
	}
}

// keepLocal stores the frames of one saga, and now and then forgets the oldest ones
// if there are too many.
func (n *Node) keepLocal(ctx context.Context, p peer.ID, frames []ibgib.IbGib) error {
	if _, _, err := n.store.Apply(ctx, blockstore.LocalArea, blockstore.Origin{Peer: p.String()}, frames); err != nil {
		return err
	}
	if n.records.Add(1)%pruneEvery != 0 {
		return nil
	}
	if _, err := n.store.PruneLocal(ctx, keptSagas); err != nil {
		return err
	}
	return n.dropSessions(ctx)
}

func (n *Node) recordData(p peer.ID, sh *share, role saga.Role, asked saga.Strategy, began time.Time, r saga.Result) []ibgib.Member {
	conflicts := make([]ibgib.Hash, len(r.Conflicts))
	for i, c := range r.Conflicts {
		conflicts[i] = c.Root
	}
	rejections := make([]ibgib.Value, min(len(r.Refused), maxListed))
	for i := range rejections {
		rejections[i] = reason("addr", r.Refused[i].Addr.String(), r.Refused[i].Rule, r.Refused[i].Detail)
	}
	data := []ibgib.Member{
		{Name: "uuid", Value: ibgib.String(r.SagaID.String())},
		{Name: "stage", Value: ibgib.String("record")},
		{Name: "peer", Value: ibgib.String(p.String())},
		{Name: "role", Value: ibgib.String(role.String())},
		{Name: "mode", Value: ibgib.String(r.Mode.String())},
		{Name: "strategy", Value: ibgib.String(r.Strategy.String())},
		{Name: "strategyBy", Value: sources(n.strategyBy(sh, asked, r))},
		{Name: "began", Value: instant(began)},
		{Name: "ended", Value: instant(n.now())},
		{Name: "converged", Value: ibgib.Bool(r.Converged)},
		{Name: "rounds", Value: ibgib.Number(float64(r.Rounds))},
		{Name: "differing", Value: ibgib.Number(float64(r.Differing))},
		{Name: "sent", Value: counts("ibgibs", r.Sent.IbGibs, "bytes", r.Sent.Bytes)},
		{Name: "received", Value: counts("ibgibs", r.Received.IbGibs, "bytes", r.Received.Bytes)},
		{Name: "wire", Value: counts("sent", r.Wire.Sent, "received", r.Wire.Received)},
		{Name: "differed", Value: hashList(r.Differed)},
		{Name: "conflicts", Value: hashList(conflicts)},
		{Name: "aborted", Value: hashList(abortedRoots(r))},
		{Name: "refusals", Value: reasons(r.Refusals)},
		{Name: "peerRefusals", Value: reasons(r.PeerRefusals)},
		{Name: "rejections", Value: ibgib.Array(rejections...)},
		{Name: "refused", Value: ibgib.Number(float64(len(r.Refused)))},
		{Name: "peerRefused", Value: ibgib.Number(float64(r.PeerRefused))},
	}
	if sh.isNamed() {
		data = append(data, ibgib.Member{Name: "share", Value: ibgib.String(sh.Name)})
	}
	return data
}

func counts(name string, count uint64, other string, more uint64) ibgib.Value {
	return ibgib.Object(
		ibgib.Member{Name: name, Value: ibgib.Number(float64(count))},
		ibgib.Member{Name: other, Value: ibgib.Number(float64(more))},
	)
}

func sources(list []StrategySource) ibgib.Value {
	values := make([]ibgib.Value, len(list))
	for i, source := range list {
		values[i] = ibgib.String(string(source))
	}
	return ibgib.Array(values...)
}

func hashList(hashes []ibgib.Hash) ibgib.Value {
	list := make([]ibgib.Value, min(len(hashes), maxListed))
	for i := range list {
		list[i] = ibgib.String(hashes[i].String())
	}
	return ibgib.Array(list...)
}

func reasons(refusals []saga.Refusal) ibgib.Value {
	list := make([]ibgib.Value, min(len(refusals), maxListed))
	for i := range list {
		list[i] = reason("hash", refusals[i].Hash.String(), string(refusals[i].Rule), refusals[i].Detail)
	}
	return ibgib.Array(list...)
}

func reason(name, item, rule, detail string) ibgib.Value {
	return ibgib.Object(
		ibgib.Member{Name: name, Value: ibgib.String(item)},
		ibgib.Member{Name: "rule", Value: foreign(rule)},
		ibgib.Member{Name: "detail", Value: foreign(detail)},
	)
}

// foreign makes a value of text that a peer may have written.
func foreign(text string) ibgib.Value { return ibgib.String(strings.ToValidUTF8(shorten(text), "")) }

func instant(t time.Time) ibgib.Value {
	return ibgib.String(t.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}
