package blockstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// TestDiskFull lets the disk fill up and empty again around a stage.
func TestDiskFull(t *testing.T) {
	ctx := context.Background()
	s, err := open(newMemoryKV(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	free := int64(1 << 30)
	s.space = space{floor: 1 << 20, free: func() (int64, error) { return free, nil }}
	all := chain(t, "task", 3)
	if err := putAll(s, []ibgib.IbGib{link(t, "dead")}); err != nil {
		t.Fatal(err)
	}
	st, err := s.NewStage(DefaultShare, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, all); err != nil {
		t.Fatal(err)
	}
	free = 1000
	s.space.looked = time.Time{} // as if a second had passed
	for what, write := range map[string]func() error{
		"put":    func() error { _, err := st.Put(ctx, []ibgib.IbGib{link(t, "more")}); return err },
		"commit": func() error { _, err := st.Commit(ctx); return err },
		"apply":  func() error { _, _, err := s.Apply(ctx, DefaultShare, Origin{}, all); return err },
		"pin":    func() error { return s.SetPin(ctx, DefaultShare, all[0].Addr()) },
		"latest": func() error { _, err := s.PinLatest(ctx, DefaultShare, all[0].Addr()); return err },
		"repair": func() error { _, err := s.Repair(ctx, nil); return err },
	} {
		if err := write(); !errors.Is(err, ErrDiskFull) {
			t.Errorf("%s: %v, want %v", what, err, ErrDiskFull)
		}
	}
	if _, err := s.Get(ctx, all[0].Addr()); err != nil {
		t.Errorf("get: %v", err)
	}
	verifyClean(t, s)
	if report, err := s.GC(ctx, GCOptions{Age: -1}, nil); err != nil || report.Removed != 1 {
		t.Errorf("gc removes %d, %v; want 1", report.Removed, err)
	}
	free = 1 << 30
	if res, err := st.Commit(ctx); err != nil || res.Moved != 1 {
		t.Errorf("commit moves %d, %v; want 1", res.Moved, err)
	}
	verifyClean(t, s)
}

// TestDiskFullInPut lets the disk fill up in the middle of one Put.
func TestDiskFullInPut(t *testing.T) {
	ctx := context.Background()
	engine := newMemoryKV()
	s, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	looks := 0
	s.space = space{floor: 1 << 20, free: func() (int64, error) {
		if looks++; looks > 1 {
			return 0, nil
		}
		return 1 << 30, nil
	}}
	st, err := s.NewStage(DefaultShare, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	large := make([]ibgib.IbGib, 60)
	for i := range large {
		if large[i], err = ibgib.NewBytes("large", append(make([]byte, 1<<20), byte(i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Put(ctx, large); !errors.Is(err, ErrDiskFull) {
		t.Errorf("put: %v", err)
	}
	if err := st.Discard(); err != nil {
		t.Errorf("discard: %v", err)
	}
	verifyClean(t, s)
	again, err := open(engine, Options{})
	if err != nil {
		t.Fatal(err)
	}
	verifyClean(t, again)
}

// TestSpaceLooks looks at the disk when enough has been written, not before.
func TestSpaceLooks(t *testing.T) {
	looks := 0
	p := space{floor: 1, free: func() (int64, error) { looks++; return 1, nil }}
	for range 3 {
		if err := p.check(); err != nil {
			t.Fatal(err)
		}
		p.written += spaceBytes / 2
	}
	if looks != 2 {
		t.Errorf("looked %d times, want 2", looks)
	}
	p = newSpace(t.TempDir(), -1)
	if err := p.check(); err != nil {
		t.Error(err)
	}
	p = newSpace(t.TempDir(), 1<<62)
	if err := p.check(); !errors.Is(err, ErrDiskFull) {
		if _, unknown := p.free(); unknown == nil {
			t.Errorf("a floor above every disk: %v", err)
		}
	}
}
