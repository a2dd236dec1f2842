package saga_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// space is a store in memory with one share.
type space struct {
	t     testing.TB
	disk  *blockstore.Memory
	opts  blockstore.Options
	store *blockstore.Store
	*blockstore.View
	env ibgib.Env
}

func newSpace(t testing.TB, seed uint64) *space {
	t.Helper()
	s := openSpace(t, seed)
	t.Cleanup(s.close)
	return s
}

// openSpace is newSpace for loops over seeds: the caller closes the store, and
// nothing keeps it until the test ends.
func openSpace(t testing.TB, seed uint64) *space {
	t.Helper()
	s := &space{t: t, disk: blockstore.NewMemory(), env: seededEnv(seed)}
	s.restart()
	return s
}

// restart opens the store as it was written; one that was open before is left as
// by a process that was killed.
func (s *space) restart() {
	s.t.Helper()
	var err error
	if s.store, err = s.disk.Open(s.opts); err != nil {
		s.t.Fatal(err)
	}
	s.View = s.store.View(blockstore.DefaultShare)
}

func (s *space) close() { s.store.Close() }

// seededEnv is a clock that goes on by a second at each reading, and uuids from
// a seed.
func seededEnv(seed uint64) ibgib.Env {
	random := rand.New(rand.NewPCG(seed, 0))
	now := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(seed) * time.Millisecond)
	return ibgib.Env{
		Now: func() time.Time { now = now.Add(time.Second); return now },
		UUID: func() string {
			return fmt.Sprintf("%016X%016X%016X%016X", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64())
		},
	}
}

// intake is a saga.Intake over a stage of a store.
type intake struct {
	store *blockstore.Store
	stage *blockstore.Stage
}

func (s *space) intake(context.Context) (saga.Intake, error) {
	stage, err := s.store.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: "peer"})
	return &intake{s.store, stage}, err
}

func (i *intake) Put(ctx context.Context, gs []ibgib.IbGib) error {
	res, err := i.stage.Put(ctx, gs)
	if errors.Is(err, blockstore.ErrPeerBudget) {
		return &saga.Error{Code: saga.CodeLimit, Text: "no more of that", Err: err}
	}
	if err == nil && len(res.Refused) > 0 {
		return saga.Refusals(res.Refused)
	}
	return err
}

func (i *intake) Touch(ctx context.Context, hashes []ibgib.Hash) error {
	return i.stage.Touch(ctx, hashes)
}

func (i *intake) Commit(ctx context.Context, c saga.Change) (saga.Committed, error) {
	if c.Only != nil {
		// A stage of nothing but these heads takes the place of the first, whose
		// blocks stay.
		if err := i.stage.Discard(); err != nil {
			return saga.Committed{}, err
		}
		var err error
		if i.stage, err = i.store.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: "peer"}); err != nil {
			return saga.Committed{}, err
		}
		if err := i.stage.Touch(ctx, c.Only); err != nil {
			return saga.Committed{}, err
		}
	}
	if c.Strategy >= saga.StrategyManual {
		i.stage.SetManual()
	}
	if err := i.stage.Pin(ctx, c.Stones); err != nil {
		return saga.Committed{}, err
	}
	res, err := i.stage.Commit(ctx)
	return saga.Committed{Moved: res.Moved, Refused: res.Rejected, Seq: res.Seq}, err
}

func (i *intake) Discard() error { return i.stage.Discard() }

// add stores ibGibs and moves the heads.
func (s *space) add(gs ...ibgib.IbGib) {
	s.t.Helper()
	_, res, err := s.store.Apply(s.t.Context(), blockstore.DefaultShare, blockstore.Origin{}, gs)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(res.Rejected) > 0 {
		s.t.Fatal(res.Rejected[0])
	}
}

// create makes a timeline with its first frame and returns that frame.
func (s *space) create(name string, rel8ns ibgib.Rel8ns) ibgib.IbGib {
	s.t.Helper()
	res, err := ibgib.FirstGen(ibgib.FirstGenOptions{
		Ib: name, Data: ibgib.Object(ibgib.Member{Name: "name", Value: ibgib.String(name)}), Rel8ns: rel8ns,
		Tjp: ibgib.TjpOptions{UUID: true, Timestamp: true}, NCounter: true, Dna: true,
		LinkedRel8ns: []string{"past", "dna"},
	}, s.env)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(res.All()...)
	return res.New
}

// change makes the next frame of a timeline.
func (s *space) change(frame ibgib.IbGib, key, value string) ibgib.IbGib {
	s.t.Helper()
	res, err := ibgib.Mut8(frame, ibgib.Mut8Options{
		Patch:    ibgib.Object(ibgib.Member{Name: key, Value: ibgib.String(value)}),
		NCounter: true, Dna: true, LinkedRel8ns: []string{"past", "dna"},
	}, s.env)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(res.All()...)
	return res.New
}

// link makes the next frame of a timeline, with one link more.
func (s *space) link(frame, target ibgib.IbGib) ibgib.IbGib {
	s.t.Helper()
	res, err := ibgib.Rel8(frame, ibgib.Rel8Options{
		Add:      ibgib.Rel8ns{{Name: "friend", Addrs: []ibgib.Addr{target.Addr()}}},
		NCounter: true, Dna: true, LinkedRel8ns: []string{"past", "dna"},
	}, s.env)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(res.All()...)
	return res.New
}

// heads returns the knowledge of the space.
func (s *space) heads() []timeline.Entry {
	s.t.Helper()
	_, all, release, err := s.Knowledge(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer release()
	var entries []timeline.Entry
	for e, err := range all {
		if err != nil {
			s.t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// blocks counts the members of the space, all of which must be closed.
func (s *space) blocks() int {
	s.t.Helper()
	n := 0
	for _, err := range s.Members(s.t.Context()) {
		if err != nil {
			s.t.Fatal(err)
		}
		n++
	}
	for i, err := range s.Incomplete(s.t.Context()) {
		s.t.Fatalf("not closed: %v, %v", i, err)
	}
	return n
}

func sameHeads(a, b []timeline.Entry) bool {
	return slices.EqualFunc(a, b, func(x, y timeline.Entry) bool {
		return x.Root == y.Root && slices.Equal(x.Heads, y.Heads)
	})
}

// config is the side that s plays.
func (s *space) config(role saga.Role, conn saga.Conn) saga.Config {
	c := saga.Config{
		Role: role, Conn: conn, Blocks: s, Index: s, Intake: s.intake,
		Self: "a", Peer: "b", ID: saga.ID{1, 2, 3},
	}
	if role == saga.Responder {
		c.Self, c.Peer, c.ID = "b", "a", saga.ID{}
	}
	return c
}

// run runs one saga between two spaces over a pipe.
func run(t testing.TB, a, b *space, capacity int) (ra, rb saga.Result) {
	t.Helper()
	ca, cb := saga.Pipe(capacity)
	ra, rb, errA, errB := runConfigs(t.Context(), a.config(saga.Initiator, ca), b.config(saga.Responder, cb))
	if errA != nil || errB != nil {
		t.Fatalf("initiator: %v; responder: %v", errA, errB)
	}
	return ra, rb
}

func runConfigs(ctx context.Context, a, b saga.Config) (ra, rb saga.Result, errA, errB error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		rb, errB = saga.Run(ctx, b)
	}()
	ra, errA = saga.Run(ctx, a)
	<-done
	return ra, rb, errA, errB
}
