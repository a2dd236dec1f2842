package node

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// TestFloods opens far more streams than a node serves: those beyond are refused
// or cut off, and an honest saga goes on beside them.
func TestFloods(t *testing.T) {
	r := newArena(t, func(*Node) {})
	floods := []struct {
		name    string
		from    host.Host
		streams int
		served  int // at most so many get an ack
	}{
		{"of a trusted peer", r.evil, 100, 4},
		{"of a stranger", r.stranger, 100, 0},
	}
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			if err := f.from.Connect(t.Context(), r.at); err != nil {
				t.Fatal(err)
			}
			r.believed(t, f.from)
			meter := startMeter()
			ends := make(chan saga.Message, f.streams)
			var streams sync.WaitGroup
			hold := make(chan struct{})
			for i := range f.streams {
				a := r.newAttack(t)
				a.by = f.from
				streams.Go(func() {
					var m saga.Message
					defer func() { ends <- m }()
					stream, err := f.from.NewStream(t.Context(), r.at.ID, protocol.ID)
					if err != nil {
						return
					}
					defer stream.Reset()
					a.stream = stream
					a.begin()
					init := a.init()
					if i%2 == 0 {
						init.Roots = []ibgib.Hash{a.entry.Root} // a scope of its own
					}
					a.say(init)
					if m = a.hear(); m != nil {
						select { // keeps the place while others ask
						case <-hold:
						case <-t.Context().Done():
						}
					}
				})
			}
			r.honest(t)
			runtime.GC() // for the meter
			close(hold)
			streams.Wait()
			served, refused := 0, 0
			for range f.streams {
				switch m := (<-ends).(type) {
				case *saga.Ack:
					served++
				case *saga.Error:
					refused++
					if m.Code != saga.CodeBusy && m.Code != saga.CodeUntrusted {
						t.Errorf("refused with %v", m)
					}
				}
			}
			if served > f.served {
				t.Errorf("%d streams were served", served)
			}
			r.left(t, f.from.ID())
			r.charge(t, meter.stop(r.idle))
			r.honest(t)
			t.Logf("%d streams: %d served, %d refused, the rest cut off; live heap %d KiB over that of idle nodes, CPU time %v",
				f.streams, served, refused, r.worst.heap>>10, r.worst.cpu.Round(time.Millisecond))
		})
	}
	t.Run("sagas begun and left", func(t *testing.T) {
		for range 40 {
			a := r.newAttack(t)
			a.by = r.evil
			if err := a.talk(func(a *attack) {
				a.say(a.init())
				a.stream.Reset()
			}); err != nil {
				t.Error(err)
			}
		}
		r.honest(t)
		r.left(t, r.evil.ID())
	})
}

// TestHostileNotices tells a node that keeps in step of timelines that do not
// exist, again and again, and answers its sagas with nonsense. It asks now and
// then, and keeps in step with others meanwhile.
func TestHostileNotices(t *testing.T) {
	r := newArena(t, func(n *Node) { n.auto.Off = false })
	var mu sync.Mutex
	asked := 0
	r.evil.SetStreamHandler(protocol.ID, func(s network.Stream) {
		defer s.Reset()
		mu.Lock()
		defer mu.Unlock()
		asked++
		_, _ = s.Write([]byte("nonsense"))
	})
	r.believed(t, r.evil)
	if err := r.evil.Connect(t.Context(), r.at); err != nil {
		t.Fatal(err)
	}
	meter := startMeter()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sent, busy := 0, 0
	began := time.Now()
	for ctx.Err() == nil && (sent == 0 || time.Since(began) < slowly) {
		n := &protocol.Notice{}
		for page := range many() {
			n.Timelines = page
			for i := range n.Timelines {
				n.Timelines[i].Root[4], n.Timelines[i].Root[5] = byte(sent>>8), byte(sent)
			}
			break
		}
		err := protocol.Notify(ctx, r.evil, r.at.ID, n, protocol.Options{})
		var e *saga.Error
		switch {
		case err == nil:
			sent++
		case errors.As(err, &e) && e.Code == saga.CodeBusy:
			busy++
		case ctx.Err() == nil:
			t.Fatal(err)
		}
		r.honest(t)
	}
	runtime.GC() // for the meter
	r.charge(t, meter.stop(r.idle))
	spent := time.Since(began)
	mu.Lock()
	defer mu.Unlock()
	if asked > 10*int(1+spent/slowly) {
		t.Errorf("the victim asked %d times within %v", asked, spent)
	}
	if sent == 0 {
		t.Error("no notice was taken")
	}
	t.Logf("%d notices taken, %d refused; the victim asked %d times; live heap %d KiB over that of idle nodes, CPU time %v",
		sent, busy, asked, r.worst.heap>>10, r.worst.cpu.Round(time.Millisecond))
}
