package blockstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// AdmitFunc decides about a frame of a timeline that has rules of its own, such
// as a keystone. It has the shape of timeline.Admit and is called in place of
// it for frames that timeline.Admit rejects with timeline.RuleKeystone.
type AdmitFunc func(g ibgib.IbGib, frame timeline.FrameLookup, block timeline.Lookup) (timeline.Frame, error)

// Options configure a Store. The zero value is the default.
type Options struct {
	Logger *slog.Logger     // where Badger's log goes; nil: nowhere
	Now    func() time.Time // clock for arrival times; nil: time.Now
	Admit  AdmitFunc        // special timelines; nil: they are kept out of the index
	// Rejected, if not nil, is called with the rule for each frame, or stone, that is kept out
	// of the index of a share, again when that is decided again. It must not call the store.
	Rejected func(rule string)
	// Strategy is for timelines with several heads, in every share. If it is another
	// one than before, what had diverged is merged by the next RetryMerges.
	Strategy Strategy
	// Merged makes the text that the journal keeps of a merge, and is called under the
	// lock of the store, which it must not use; nil: the journal keeps none.
	Merged func(share Share, at time.Time, m Merge) []byte
	// DiskFloor is how many bytes of the disk have to stay free: below it, what would
	// add to the store fails with ErrDiskFull. 0: DefaultDiskFloor; negative: none.
	// It is not watched in memory, nor where the system cannot be asked.
	DiskFloor int64
	// PeerBudget is how many bytes the blocks of one peer may take that are part of no
	// committed change: what a Stage with a peer as origin has brought counts until it,
	// or a later one, is committed, and with it what a rule keeps out. All that was
	// fetched (Origin.Fetched), of whomever, may take no more than that together. Beyond
	// it Put fails with ErrPeerBudget. 0: DefaultPeerBudget; negative: none.
	PeerBudget int64
	// PeerPins is how many stones the stages of one peer may have pinned (Stage.Pin).
	// 0: DefaultPeerPins; negative: any number.
	PeerPins int
	// Expiry is how long what counts against such a budget stays after the last of a
	// stage has come; then Maintain removes it. 0: DefaultExpiry; negative: for ever.
	Expiry time.Duration
	// Migrating, if not nil, is called now and then while Open brings a store of an
	// older version to the format of this one.
	Migrating func(Migration)
}

// Store keeps ibGibs, the timeline index and staged commits. Its methods are
// safe for concurrent use; writes are done one after the other.
type Store struct {
	kv    kv
	lock  *flock.Flock // nil in memory
	now   func() time.Time
	admit AdmitFunc
	epoch atomic.Pointer[[16]byte]
	life  lifetime

	budget  int64         // of each peer; negative: none
	maxPins int           // of each peer; negative: any number
	expiry  time.Duration // of loose arrivals of peers; negative: never
	holds   holds

	strategy Strategy

	watches   watches
	journaled watches // of the journal
	counts    counts
	rejected  func(rule string)                               // Options.Rejected
	merged    func(share Share, at time.Time, m Merge) []byte // Options.Merged
	mixed     atomic.Bool                                     // blocks of several shares lie side by side

	// gate is held exclusively while a decided commit is applied, so that no
	// snapshot shows half of it.
	gate sync.RWMutex

	mu         sync.Mutex // the writer; guards what follows
	space      space
	marks      marks
	aside      map[uint64]bool // stages that have, or may have, put records aside (N, S)
	swept      uint64          // of a lower stage there is no such record
	peers      map[string]uint32
	open       map[uint64]*Stage // stages that have neither been committed nor discarded
	loose      looses            // arrivals of stages that have not been committed
	recent     *memberCache
	inhabited  map[Share]bool // has members, or had some since Open
	waiting    map[Share]bool // false: certainly no block of the share waits
	absent     map[Share]*absence
	forgotten  map[Share]map[ibgib.Hash]bool // roots that get no entry
	erased     map[Share]bool                // deleted since Open
	slabs      [][]byte                      // memory for layers to be written
	gc         *collection                   // nil if GC is not running
	lastExpiry time.Time                     // when what has expired was collected last
	pinned     map[uint32]int                // stones that stages of a peer have pinned

	merging   merging
	undecided undecided
}

// lockName is the file in the folder of a store that whoever has it open has locked.
const lockName = "in-use.lock"

// lockFolder makes a folder if there is none, and locks it. It fails with ErrInUse if
// another process, or another part of this one, has.
func lockFolder(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, lockName))
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if !held {
		return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
	}
	return lock, nil
}

// Open opens the store in the folder dir, and creates it if there is none. A
// commit that had been decided when the program ended is completed first. It
// fails with ErrInUse if another process has the store open, with ErrNewer
// if a newer version wrote it, and with ErrReadOnly if the folder cannot be written to.
func Open(dir string, opts Options) (*Store, error) {
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("blockstore: %w", err)
	}
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	engine, err := openBadger(dir, log)
	if err != nil {
		lock.Unlock()
		return nil, fmt.Errorf("blockstore: %w", err)
	}
	s, err := open(engine, opts)
	if err != nil {
		engine.close()
		lock.Unlock()
		return nil, fmt.Errorf("blockstore: open %s: %w", dir, err)
	}
	s.lock = lock
	s.space = newSpace(dir, opts.DiskFloor)
	return s, nil
}

// OpenMemory returns a store that lives in memory.
func OpenMemory(opts Options) (*Store, error) { return NewMemory().Open(opts) }

// Memory is what a store in memory has written. It outlives the store, as a disk
// does.
type Memory struct{ kv *memoryKV }

// NewMemory returns a Memory in which nothing has been written.
func NewMemory() *Memory { return &Memory{newMemoryKV()} }

// Open opens the store that m holds, as Open does that of a folder. A store of m
// that was opened before must not be used any more, but need not be closed: then
// it counts as one whose program was killed.
func (m *Memory) Open(opts Options) (*Store, error) { return open(m.kv, opts) }

func open(engine kv, opts Options) (*Store, error) {
	return openAs(ourFormat(), engine, opts)
}

func openAs(format format, engine kv, opts Options) (*Store, error) {
	s := &Store{
		kv:        engine,
		now:       opts.Now,
		budget:    opts.PeerBudget,
		expiry:    opts.Expiry,
		admit:     opts.Admit,
		rejected:  opts.Rejected,
		peers:     make(map[string]uint32),
		open:      make(map[uint64]*Stage),
		aside:     make(map[uint64]bool),
		loose:     newLooses(),
		recent:    newMemberCache(),
		inhabited: make(map[Share]bool),
		waiting:   make(map[Share]bool),
		absent:    make(map[Share]*absence),
		forgotten: make(map[Share]map[ibgib.Hash]bool),
		erased:    make(map[Share]bool),
		holds:     holds{byID: make(map[uint64]*hold)},
		watches:   newWatches(),
		journaled: newWatches(),
		undecided: newUndecided(),
		merged:    opts.Merged,
		maxPins:   opts.PeerPins,
		pinned:    make(map[uint32]int),
	}
	s.strategy, s.merging = opts.Strategy, newMerging()
	if s.expiry == 0 {
		s.expiry = DefaultExpiry
	}
	if s.maxPins == 0 {
		s.maxPins = DefaultPeerPins
	}
	if s.budget == 0 {
		s.budget = DefaultPeerBudget
	}
	if s.now == nil {
		s.now = time.Now
	}
	created, err := s.create(format)
	if err != nil {
		return nil, err
	}
	if !created {
		if err := format.migrate(engine, opts.Migrating); err != nil {
			return nil, err
		}
		if err := s.load(); err != nil {
			return nil, err
		}
	}
	if err := s.recover(); err != nil {
		return nil, err
	}
	return s, nil
}

// create writes the store's own records, if the engine is empty.
func (s *Store) create(format format) (created bool, err error) {
	snap := s.kv.snapshot()
	defer snap.release()
	created = true
	if err := snap.scanKeys(nil, nil, func([]byte) (bool, error) {
		created = false
		return false, nil
	}); err != nil || !created {
		return false, err
	}
	var epoch [16]byte
	rand.Read(epoch[:])
	s.epoch.Store(&epoch)
	b := newBatch()
	b.put(keyFormat, binary.AppendUvarint(nil, format.version))
	b.put(keyEpoch, epoch[:])
	b.put(keyRules, binary.AppendUvarint(nil, timeline.RulesVersion))
	b.put(keyStrategy, []byte{byte(s.strategy)})
	return true, s.kv.write(b)
}

// load reads the store's own records.
func (s *Store) load() error {
	snap := s.kv.snapshot()
	defer snap.release()
	var epoch [16]byte
	b, found, err := snap.get(keyEpoch)
	if err != nil {
		return err
	}
	if !found || len(b) != len(epoch) {
		return corrupt("meta", keyEpoch, errRecord)
	}
	copy(epoch[:], b)
	s.epoch.Store(&epoch)
	if b, found, err := snap.get(keyMarks); err != nil {
		return err
	} else if found {
		if s.marks, err = decodeMarks(b); err != nil {
			return corrupt("meta", keyMarks, err)
		}
	}
	if b, found, err := snap.get(keySwept); err != nil {
		return err
	} else if found {
		r := reader{b: b}
		s.swept = r.uvarint()
		if err := r.end(); err != nil {
			return corrupt("meta", keySwept, err)
		}
	}
	if err := snap.scan([]byte{prefixPeer}, nil, func(key, value []byte) (bool, error) {
		s.peers[string(value)] = binary.BigEndian.Uint32(key[1:])
		return true, nil
	}); err != nil {
		return err
	}
	if err := snap.scan([]byte{prefixLoose}, nil, func(key, value []byte) (bool, error) {
		l, err := decodeLoose(value)
		if err != nil {
			return false, corrupt("loose range", key, err)
		}
		s.loose.set(binary.BigEndian.Uint64(key[1:]), l)
		return true, nil
	}); err != nil {
		return err
	}
	shares, err := sharesOf(snap)
	if err != nil {
		return err
	}
	for _, share := range shares {
		s.inhabit(share)
	}
	if err := snap.scanKeys([]byte{prefixWaiting}, nil, func(key []byte) (bool, error) {
		s.waiting[shareOf(key)] = true
		return true, nil
	}); err != nil {
		return err
	}
	if err := s.loadForgotten(snap); err != nil {
		return err
	}
	if err := s.loadPins(snap); err != nil {
		return err
	}
	return s.loadUndecided(snap)
}

// Epoch identifies this life of the store; it changes on restore, and when the
// change log had to be repaired.
func (s *Store) Epoch() [16]byte { return *s.epoch.Load() }

// Close waits until running calls have ended and closes the store. Later calls
// fail with ErrClosed.
func (s *Store) Close() error {
	s.watches.close()
	s.journaled.close()
	if !s.life.end() {
		return nil
	}
	err := s.kv.close()
	if s.lock != nil {
		if lerr := s.lock.Unlock(); err == nil {
			err = lerr
		}
	}
	if err != nil {
		return fmt.Errorf("blockstore: close: %w", err)
	}
	return nil
}

// Maintain removes what peers have left and has expired (Options.Expiry), and gives
// disk space of dead values back. Call it now and then; it returns when there is
// nothing more to gain, or when ctx ends. It looks for what has expired once an hour at
// most, and only if there is anything; that reads the whole share, in turns of some
// milliseconds beside other writers, and ends when a GC begins.
func (s *Store) Maintain(ctx context.Context) error {
	if err := s.expire(ctx); err != nil {
		return err
	}
	engine, ok := s.kv.(*badgerKV)
	if !ok {
		return nil
	}
	if err := s.life.enter(); err != nil {
		return err
	}
	defer s.life.leave()
	for ctx.Err() == nil {
		again, err := engine.maintain()
		if err != nil {
			return fmt.Errorf("blockstore: %w", err)
		}
		if !again {
			return nil
		}
	}
	return ctx.Err()
}

// snapshot opens a consistent picture in which every decided commit shows
// whole or not at all.
func (s *Store) snapshot() snapshot {
	s.gate.RLock()
	defer s.gate.RUnlock()
	return s.kv.snapshot()
}

// lifetime counts the calls that run on a store, so that Close waits for them.
type lifetime struct {
	mu     sync.Mutex
	calls  int
	ended  bool
	failed error         // why no further call is let in
	idle   chan struct{} // closed when the last call has left after end
}

// fail lets no further call in: what the engine holds is half of a change that
// only the next Open completes.
func (l *lifetime) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = err
}

func (l *lifetime) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return ErrClosed
	}
	if l.failed != nil {
		return l.failed
	}
	l.calls++
	return nil
}

func (l *lifetime) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls--
	if l.ended && l.calls == 0 {
		close(l.idle)
	}
}

// end lets no further call in and waits for those that run. It returns false
// if it has been called before.
func (l *lifetime) end() bool {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.ended = true
	l.idle = make(chan struct{})
	if l.calls == 0 {
		close(l.idle)
	}
	l.mu.Unlock()
	<-l.idle
	return true
}
