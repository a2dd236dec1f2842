package keystone

import (
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Evidence is two valid successors of one frame. Whoever has both frames and the
// history before them can check it by Weigh.
type Evidence struct {
	Pred  ibgib.Addr  // the frame that both follow
	Known ibgib.IbGib // the successor in the history
	Rival ibgib.IbGib
	// Reveals are the challenges that the rival solves and the known frame does
	// not: whoever made it had more than what the known frame shows.
	Reveals  []ChallengeID
	Cosigned bool // the rival bears a valid co-signature
}

// Weigh judges a rival of a frame in the history. pred is the frame that both
// follow and known its successor in the history, as *RivalError names them.
//
// A rival counts if it is valid, and solves a challenge that the known frame does not or
// bears a valid co-signature; then there is evidence of equivocation. Otherwise
// the first one seen stays, since anyone who saw it could have made the rival
// from its solutions: the error is then an *Invalid of RuleFirstSeen. It is an
// *Invalid of other rules if the rival is not valid at all. The history does not
// change; see Dispute.
func (h *History) Weigh(pred, known, rival ibgib.IbGib) (Evidence, error) {
	n, ok := h.place(pred.Addr())
	if !ok || known.IsZero() || h.Addr(n+1) != known.Addr() {
		return Evidence{}, fmt.Errorf("keystone: weigh %s: %w", clip(rival.Addr().String()), errNotInHistory)
	}
	before, err := Parse(pred)
	if err != nil {
		return Evidence{}, err
	}
	ours, err := Parse(known)
	if err != nil {
		return Evidence{}, err
	}
	found := findings{frame: rival.Addr(), n: n + 1}
	if rival.Addr() == known.Addr() {
		found.add(RuleFirstSeen, spot{}, "it is the known frame")
		return Evidence{}, found.err()
	}
	theirs, _ := h.judgeNext(&found, parent{pred, before}, rival)
	if err := found.err(); err != nil {
		return Evidence{}, err
	}
	e := Evidence{Pred: pred.Addr(), Known: known, Rival: rival}
	shown := ours.Proofs[0].Solutions
	for _, s := range theirs.Proofs[0].Solutions {
		if !slices.Contains(shown, s) {
			e.Reveals = append(e.Reveals, s.ID)
		}
	}
	e.Cosigned = len(h.keys) > 0 && found.cosigned(rival, theirs, h.keys[0])
	if len(e.Reveals) == 0 && !e.Cosigned {
		found.add(RuleFirstSeen, spot{}, "it shows nothing that the frame seen first does not, so anyone could have made it")
		return Evidence{}, found.err()
	}
	return e, nil
}

// Dispute marks the keystone as disputed, until Settle.
func (h *History) Dispute(e Evidence) error {
	n, ok := h.place(e.Pred)
	if !ok {
		return errNotInHistory
	}
	if !slices.Contains(h.disputes, n+1) {
		h.disputes = append(h.disputes, n+1)
	}
	return nil
}

// Settle ends all disputes: a person decided for the frames of this history.
func (h *History) Settle() { h.disputes = nil }
