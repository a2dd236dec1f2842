package blockstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// TestExpiryGivesWay ends a collection of what has expired when GC or a repair
// begins, and leaves the rest to the next one, an hour later.
func TestExpiryGivesWay(t *testing.T) {
	ctx := context.Background()
	for _, other := range []struct {
		name string
		run  func(s *Store) error
	}{
		{"gc", func(s *Store) error {
			_, err := s.GC(ctx, GCOptions{Age: 2 * DefaultExpiry}, nil)
			return err
		}},
		{"repair", func(s *Store) error {
			_, err := s.Repair(ctx, nil)
			return err
		}},
	} {
		t.Run(other.name, func(t *testing.T) {
			now := time.UnixMilli(1_700_000_000_000)
			s, err := OpenMemory(Options{Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			left := link(t, "left")
			st, err := s.NewStage(DefaultShare, Origin{Peer: "peer"})
			if err == nil {
				_, err = st.Put(ctx, []ibgib.IbGib{left})
			}
			if err == nil {
				err = st.Discard()
			}
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(DefaultExpiry)
			c, shares, err := s.dueStages()
			if err != nil || c == nil || len(shares) != 1 {
				t.Fatalf("due: %v, %v", shares, err)
			}
			if err := other.run(s); err != nil {
				t.Fatal(err)
			}
			if err := c.expire(ctx, DefaultShare); !errors.Is(err, errSuperseded) {
				t.Errorf("the collection goes on: %v", err)
			}
			c.end()
			for _, want := range []bool{true, false} {
				if err := s.Maintain(ctx); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Get(ctx, left.Addr()); (err == nil) != want {
					t.Errorf("stored is %t, want %t", err == nil, want)
				}
				now = now.Add(expireEvery)
			}
			verifyClean(t, s)
		})
	}
	now := time.UnixMilli(1_700_000_000_000)
	s, err := OpenMemory(Options{Expiry: -1, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll(s, []ibgib.IbGib{link(t, "waits", link(t, "absent").Addr())}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(100 * DefaultExpiry)
	if c, _, err := s.dueStages(); c != nil || err != nil {
		t.Errorf("something expires that never does (%v)", err)
	}
}
