package saga

import (
	"encoding/hex"
	"fmt"

	"github.com/ibgib/ibgib-node/ibgib"
)

// The transcript of a saga is a small timeline of its own, which both sides
// compute from the messages as they travelled and which does not travel itself.
// For each side and stage there is a stone and a frame:
//
//	stone  ib  sync_msg <sagaId> <stage>
//	       data  {sagaId, stage, from, messages, digest}
//	       rel8ns  ancestor [sync_msg^gib]
//	frame  ib  sync <sagaId>
//	       data  {uuid: sagaId, stage}, in the first also isTjp: true, since it is the tjp
//	       rel8ns  ancestor [sync^gib], syncmsg [the stone],
//	               identity [the first frame of that side's session keystone], if it has one,
//	               in all but the first also past [the frame before] and tjp [the first]
//
// messages is how many messages that side sent in that stage, digest the hex
// SHA-256 over the SHA-256 of each of them in order. Sides without messages in
// a stage have neither stone nor frame there. There is no time, no n and no dna.

// turns is the order of the frames.
var turns = [...]struct {
	side  Role
	stage Stage
}{
	{Initiator, StageInit},
	{Responder, StageAck},
	{Initiator, StageDelta},
	{Responder, StageDelta},
	{Initiator, StageCommit},
	{Responder, StageCommit},
}

// party is a side as the transcript names it.
type party struct {
	name    string
	session ibgib.Addr // zero: none
}

// transcript makes the stones and frames, dependencies first. parties are the
// initiator and the responder.
func (r *recorder) transcript(id ID, parties [2]party) ([]ibgib.IbGib, error) {
	var made []ibgib.IbGib
	var first, last ibgib.Addr
	for _, t := range turns {
		run := r.runs[t.side-1][t.stage]
		if run.messages == 0 {
			continue
		}
		stone, err := ibgib.Stone(ibgib.StoneOptions{
			Ib:     fmt.Sprintf("sync_msg %s %s", id, t.stage),
			Parent: "sync_msg",
			Data: ibgib.Object(
				ibgib.Member{Name: "sagaId", Value: ibgib.String(id.String())},
				ibgib.Member{Name: "stage", Value: ibgib.String(t.stage.String())},
				ibgib.Member{Name: "from", Value: ibgib.String(parties[t.side-1].name)},
				ibgib.Member{Name: "messages", Value: ibgib.Number(float64(run.messages))},
				ibgib.Member{Name: "digest", Value: ibgib.String(hex.EncodeToString(run.digest.Sum(nil)))},
			),
		}, ibgib.Env{})
		if err != nil {
			return nil, fmt.Errorf("saga: transcript: %w", err)
		}
		data := ibgib.Object(
			ibgib.Member{Name: "uuid", Value: ibgib.String(id.String())},
			ibgib.Member{Name: "stage", Value: ibgib.String(t.stage.String())},
		)
		rel8ns := ibgib.Rel8ns{
			{Name: "ancestor", Addrs: []ibgib.Addr{syncRoot()}},
			{Name: "syncmsg", Addrs: []ibgib.Addr{stone.Addr()}},
		}
		if session := parties[t.side-1].session; !session.IsZero() {
			rel8ns = append(rel8ns, ibgib.Rel8n{Name: "identity", Addrs: []ibgib.Addr{session}})
		}
		if first.IsZero() {
			data = data.With("isTjp", ibgib.Bool(true))
		} else {
			rel8ns = append(rel8ns,
				ibgib.Rel8n{Name: "past", Addrs: []ibgib.Addr{last}},
				ibgib.Rel8n{Name: "tjp", Addrs: []ibgib.Addr{first}})
		}
		frame, err := ibgib.New("sync "+id.String(), data, rel8ns)
		if err != nil {
			return nil, fmt.Errorf("saga: transcript: %w", err)
		}
		if first.IsZero() {
			first = frame.Addr()
		}
		last = frame.Addr()
		made = append(made, stone, frame)
	}
	return made, nil
}

// syncRoot returns the address of the primitive that saga frames descend from.
func syncRoot() ibgib.Addr {
	a, _ := ibgib.ParseAddr("sync^gib")
	return a
}
