package node

import (
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// A trusted peer names a head that does not exist, and is at it for as long as it is let.
// What another peer changes in that timeline comes all the same.
func TestMemberStallsATimeline(t *testing.T) {
	r := newArena(t, func(n *Node) {
		n.auto.Off = false
		n.idle = 10 * time.Minute
	})
	writer := openHere(t)
	writer.auto.Off = false
	if err := writer.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	trustEachOther(t, writer, r.victim, byAddr)
	note := writeNote(t, writer, "note")
	has := func(head ibgib.Addr) func() bool {
		return func() bool {
			e, err := r.victim.entryOf(t.Context(), note)
			return err == nil && len(e.Heads) == 1 && e.Heads[0] == head
		}
	}
	eventually(t, "a timeline comes", has(note))
	eventually(t, "its next change comes", has(changed(t, writer, note, "before")))

	root, _ := note.Hash()
	a := r.newAttack(t)
	a.by = r.evil
	a.entry = timeline.Entry{Root: root, Heads: []ibgib.Hash{junk(5).Hash()}}
	err := a.talk(func(a *attack) {
		init := a.init()
		init.Roots = []ibgib.Hash{root}
		a.open(init)
		a.say(&saga.Working{ID: a.id})
		eventually(t, "a change comes while the attacker is at it", has(changed(t, writer, note, "beside")))
		a.say(&saga.Error{ID: a.id, Code: saga.CodeInternal})
		a.stream.CloseWrite()
	})
	if err != nil {
		t.Errorf("the saga with the attacker has ended before: %v", err)
	}
}
