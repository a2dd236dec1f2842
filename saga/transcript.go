package saga

import (
	"encoding/hex"
	"fmt"
	"slices"

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

type turn struct {
	side  Role
	stage Stage
}

// turns is the order of the frames.
var turns = [...]turn{
	{Initiator, StageInit},
	{Responder, StageAck},
	{Initiator, StageDelta},
	{Responder, StageDelta},
	{Initiator, StageCommit},
	{Responder, StageCommit},
}

// transcript makes the stones and frames, dependencies first. parties are the
// initiator and the responder.
func (r *recorder) transcript(id ID, parties [2]Party) ([]ibgib.IbGib, error) {
	w := transcriptWriter{id: id.String()}
	for _, t := range turns {
		run := r.runs[t.side-1][t.stage]
		if run.messages == 0 {
			continue
		}
		if err := w.add(t.stage, parties[t.side-1], float64(run.messages), hex.EncodeToString(run.digest.Sum(nil))); err != nil {
			return nil, fmt.Errorf("saga: transcript: %w", err)
		}
	}
	return w.made, nil
}

// transcriptWriter makes a transcript, one stone and frame after the other.
type transcriptWriter struct {
	id          string
	made        []ibgib.IbGib
	first, last ibgib.Addr // frames
}

func (w *transcriptWriter) add(stage Stage, by Party, messages float64, digest string) error {
	stone, err := ibgib.Stone(ibgib.StoneOptions{
		Ib:     fmt.Sprintf("sync_msg %s %s", w.id, stage),
		Parent: "sync_msg",
		Data: ibgib.Object(
			ibgib.Member{Name: "sagaId", Value: ibgib.String(w.id)},
			ibgib.Member{Name: "stage", Value: ibgib.String(stage.String())},
			ibgib.Member{Name: "from", Value: ibgib.String(by.Name)},
			ibgib.Member{Name: "messages", Value: ibgib.Number(messages)},
			ibgib.Member{Name: "digest", Value: ibgib.String(digest)},
		),
	}, ibgib.Env{})
	if err != nil {
		return err
	}
	data := ibgib.Object(
		ibgib.Member{Name: "uuid", Value: ibgib.String(w.id)},
		ibgib.Member{Name: "stage", Value: ibgib.String(stage.String())},
	)
	rel8ns := ibgib.Rel8ns{
		{Name: "ancestor", Addrs: []ibgib.Addr{syncRoot()}},
		{Name: "syncmsg", Addrs: []ibgib.Addr{stone.Addr()}},
	}
	if !by.Session.IsZero() {
		rel8ns = append(rel8ns, ibgib.Rel8n{Name: "identity", Addrs: []ibgib.Addr{by.Session}})
	}
	if w.first.IsZero() {
		data = data.With("isTjp", ibgib.Bool(true))
	} else {
		rel8ns = append(rel8ns,
			ibgib.Rel8n{Name: "past", Addrs: []ibgib.Addr{w.last}},
			ibgib.Rel8n{Name: "tjp", Addrs: []ibgib.Addr{w.first}})
	}
	frame, err := ibgib.New("sync "+w.id, data, rel8ns)
	if err != nil {
		return err
	}
	if w.first.IsZero() {
		w.first = frame.Addr()
	}
	w.last = frame.Addr()
	w.made = append(w.made, stone, frame)
	return nil
}

// Party is a side of a saga as its transcript names it.
type Party struct {
	Name    string     // such as a peer id
	Session ibgib.Addr // the first frame of its session keystone; zero: none
}

// Transcript is what the transcript of a saga says.
type Transcript struct {
	ID                   string // of the saga, in hex
	Initiator, Responder Party
	Last                 ibgib.Addr // the last frame, which stands for all
}

// ReadTranscript checks that ibGibs are the whole transcript of one saga, in the order
// in which Result.Transcript has them. Whether its digests are those of what has
// travelled nobody can tell afterwards but from who has signed it.
func ReadTranscript(list []ibgib.IbGib) (Transcript, error) {
	bad := func(i int, why string) (Transcript, error) {
		return Transcript{}, fmt.Errorf("saga: transcript: ibGib %d: %s", i, why)
	}
	if len(list) < 4 || len(list)%2 != 0 {
		return bad(len(list), "something is missing")
	}
	parties := [2]Party{sideOf(list), sideOf(list[2:])}
	if parties[0].Name == parties[1].Name {
		return bad(2, "both sides have the same name")
	}
	w := transcriptWriter{id: textIn(list[0], "sagaId")}
	next := 0
	for i := 0; i < len(list); i += 2 {
		by, stage := sideOf(list[i:]), textIn(list[i], "stage")
		at := slices.IndexFunc(turns[next:], func(t turn) bool {
			return t.stage.String() == stage && parties[t.side-1] == by
		})
		if at < 0 {
			return bad(i, "out of turn")
		}
		next += at
		messages, _ := list[i].Field("messages")
		if err := w.add(turns[next].stage, by, messages.Number(), textIn(list[i], "digest")); err != nil {
			return bad(i, err.Error())
		}
		if w.made[i].Addr() != list[i].Addr() || w.made[i+1].Addr() != list[i+1].Addr() {
			return bad(i, "not what a saga writes")
		}
		next++
	}
	if next < len(turns) {
		return bad(len(list), "something is missing")
	}
	return Transcript{ID: w.id, Initiator: parties[0], Responder: parties[1], Last: w.last}, nil
}

// sideOf returns the side of the stone and the frame that a list begins with.
func sideOf(list []ibgib.IbGib) Party {
	by := Party{Name: textIn(list[0], "from")}
	by.Session, _ = list[1].LastRel("identity")
	return by
}

func textIn(g ibgib.IbGib, name string) string {
	v, _ := g.Field(name)
	return v.Str()
}

// syncRoot returns the address of the primitive that saga frames descend from.
func syncRoot() ibgib.Addr {
	a, _ := ibgib.ParseAddr("sync^gib")
	return a
}
