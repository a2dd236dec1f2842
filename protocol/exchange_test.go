package protocol_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/protocol/internal/pb"
	"github.com/ibgib/ibgib-node/saga"
)

var update = flag.Bool("update", false, "write the exchanges and the schema in SPEC.md anew")

// The exchanges that SPEC.md shows are what two saga machines really say to each
// other, byte for byte.
func TestExchangesOfTheSpec(t *testing.T) {
	shared := firstFrame(t, "shared")
	lonely := firstFrame(t, "lonely")
	tests := []struct {
		name                 string
		initiator, responder []ibgib.IbGib
	}{
		{"equal", []ibgib.IbGib{shared}, []ibgib.IbGib{shared}},
		{"one_item", []ibgib.IbGib{shared, lonely}, []ibgib.IbGib{shared}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := converse(t, newParty(t, tt.initiator), newParty(t, tt.responder))
			if *update {
				updateSpec(t, tt.name, got)
			}
			if shown := shownInSpec(t, tt.name); shown != got {
				t.Errorf("SPEC.md shows\n%s\nbut the exchange is\n%s\nrun the test with -update if that is meant", shown, got)
			}
		})
	}
}

func TestSpecHasTheSchema(t *testing.T) {
	schema, err := os.ReadFile("sync.proto")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		updateSpec(t, "schema", string(schema))
	}
	if shownInSpec(t, "schema") != string(schema) {
		t.Error("SPEC.md shows another sync.proto; run the test with -update")
	}
}

// specPart finds the text of a fenced block of SPEC.md, which follows a line
// <!-- name -->.
func specPart(t *testing.T, name string) (spec string, from, to int) {
	t.Helper()
	b, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	spec = string(b)
	mark := "<!-- " + name + " -->\n```"
	from = strings.Index(spec, mark)
	if from < 0 {
		t.Fatalf("SPEC.md has no part %s", name)
	}
	from += len(mark)
	from += strings.Index(spec[from:], "\n") + 1
	to = from + strings.Index(spec[from:], "```\n")
	return spec, from, to
}

func shownInSpec(t *testing.T, name string) string {
	t.Helper()
	spec, from, to := specPart(t, name)
	return spec[from:to]
}

func updateSpec(t *testing.T, name, text string) {
	t.Helper()
	spec, from, to := specPart(t, name)
	if err := os.WriteFile("SPEC.md", []byte(spec[:from]+text+spec[to:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

// do does all work but sending, until there is none, and returns what is to be
// sent.
func (p *party) do(t *testing.T) []saga.Message {
	t.Helper()
	var send []saga.Message
	for w := p.machine.Work(); !w.IsEmpty(); w = p.machine.Work() {
		send = append(send, w.Send...)
		for _, e := range p.answer(t, w) {
			if err := p.machine.Step(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	return send
}

func (p *party) answer(t *testing.T, w saga.Work) (events []saga.Event) {
	t.Helper()
	ctx := t.Context()
	event := func(e saga.Event, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	entries, fp := p.entries()
	if w.Open {
		empty, err := p.Empty(ctx)
		event(saga.Opened{Fingerprint: fp.Sum(), Count: fp.Count(), Empty: empty}, err)
	}
	if w.Map {
		event(saga.Mapped{Entries: entries}, nil)
	}
	for _, rows := range w.Locate {
		wants, err := saga.Locate(ctx, p, rows)
		event(saga.Located{Wants: wants}, err)
	}
	for _, walk := range w.Walk {
		walked, err := p.walker.Step(walk)
		event(walked, err)
	}
	for _, hashes := range w.Load {
		loaded := make([]ibgib.IbGib, len(hashes))
		for i, h := range hashes {
			var err error
			if loaded[i], err = p.Block(ctx, h); err != nil {
				t.Fatal(err)
			}
		}
		event(saga.Loaded{Blocks: loaded}, nil)
	}
	for _, hashes := range w.Check {
		closed, err := p.HasClosed(ctx, hashes)
		event(saga.Checked{Closed: closed}, err)
	}
	for _, s := range w.Store {
		if err := p.Put(ctx, s.Put); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.Store) > 0 {
		event(saga.Stored{Count: len(w.Store)}, nil)
	}
	if w.Commit {
		committed, err := p.Commit(ctx, w.Change)
		event(saga.Decided{Committed: committed}, err)
	}
	for _, rows := range w.Agree {
		agreed, err := saga.Agree(ctx, p, rows)
		event(saga.Agreed{Outcomes: agreed}, err)
	}
	return events
}

// converse runs a saga, one message at a time in turns, and returns the dump of
// its messages. Messages travel in their encoding.
func converse(t *testing.T, initiator, responder *party) string {
	t.Helper()
	var id saga.ID
	for i := range id {
		id[i] = byte(i)
	}
	parties := []*party{initiator, responder}
	names := []string{"initiator", "responder"}
	for i, p := range parties {
		m, err := saga.NewMachine(saga.Options{
			Role: saga.Role(i + 1), ID: id, Self: names[i], Peer: names[1-i],
		})
		if err != nil {
			t.Fatal(err)
		}
		p.machine, p.walker = m, saga.NewWalker(t.Context(), p, p)
	}
	var dump strings.Builder
	for quiet := 0; quiet < 2; {
		for i, p := range parties {
			messages := p.do(t)
			if quiet++; len(messages) > 0 {
				quiet = 0
			}
			for _, m := range messages {
				wire := encode(t, m)
				prefix := binary.AppendUvarint(nil, uint64(len(wire)))
				fmt.Fprintf(&dump, "%s to %s: %d bytes\n", names[i], names[1-i], len(prefix)+len(wire))
				fmt.Fprintf(&dump, "  %x  # length\n", prefix)
				annotate(&dump, wire, new(pb.Envelope).ProtoReflect().Descriptor(), "  ")
				receipt := saga.Receipt{Digest: sha256.Sum256(wire), Bytes: len(prefix) + len(wire)}
				arrived, err := protocol.Decode(wire)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.machine.Step(saga.Sent{Receipt: receipt}); err != nil {
					t.Fatal(err)
				}
				if err := parties[1-i].machine.Step(saga.Received{Message: arrived, Receipt: receipt}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i, p := range parties {
		result, err := p.machine.Result()
		if err != nil {
			t.Fatal(err)
		}
		if !p.machine.Done() || !result.Converged {
			t.Fatalf("the saga of the %s has not come to its end: %+v", names[i], result)
		}
	}
	for i, g := range transcript(t, initiator.machine, responder.machine) {
		if i == 0 {
			fmt.Fprintf(&dump, "transcript\n")
		}
		fmt.Fprintf(&dump, "  %s\n", g.Stored())
	}
	return dump.String()
}

// transcript returns the transcript that all machines must have made.
func transcript(t *testing.T, machines ...*saga.Machine) []ibgib.IbGib {
	t.Helper()
	var first []ibgib.IbGib
	for i, m := range machines {
		r, err := m.Result()
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = r.Transcript
		}
		if !slices.EqualFunc(r.Transcript, first, func(a, b ibgib.IbGib) bool { return a.Addr() == b.Addr() }) {
			t.Fatal("the transcripts differ")
		}
	}
	return first
}

// annotate writes the fields of a message, a field a line (long values take
// more), with their names.
func annotate(w *strings.Builder, b []byte, message protoreflect.MessageDescriptor, indent string) {
	for len(b) > 0 {
		n, wire, tagSize := protowire.ConsumeTag(b)
		size := tagSize + protowire.ConsumeFieldValue(n, wire, b[tagSize:])
		field, name := b[:size], string(message.Fields().ByNumber(n).Name())
		b = b[size:]
		if wire != protowire.BytesType {
			fmt.Fprintf(w, "%s%x  # %s\n", indent, field, name)
			continue
		}
		value, _ := protowire.ConsumeBytes(field[tagSize:])
		head := field[:size-len(value)]
		inner := message.Fields().ByNumber(n).Message()
		switch {
		case inner != nil:
			fmt.Fprintf(w, "%s%x  # %s\n", indent, head, name)
			annotate(w, value, inner, indent+"  ")
		case len(value)+len(head) <= 32:
			fmt.Fprintf(w, "%s%s  # %s\n", indent, hex.EncodeToString(head)+hex.EncodeToString(value), name)
		default:
			fmt.Fprintf(w, "%s%x  # %s\n", indent, head, name)
			for chunk := range slices.Chunk(value, 32) {
				fmt.Fprintf(w, "%s  %x\n", indent, chunk)
			}
		}
	}
}
