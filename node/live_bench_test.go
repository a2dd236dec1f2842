package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

// serveLive is a child that keeps in step with its peer, and serves its API.
func serveLive(ctx context.Context, n *node.Node, addr string) error {
	s, err := api.Serve(n, api.Options{})
	if err != nil {
		return err
	}
	if addr != "" {
		if err := n.Connect(ctx, addr); err != nil {
			return err
		}
	}
	fmt.Println(n.Identity().Addrs[0])
	_, err = io.Copy(io.Discard, os.Stdin) // until the parent lets go
	grace, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return errors.Join(err, s.Close(grace))
}

// liveSide is one of two processes that keep in step, with its events.
type liveSide struct{ events chan node.Event }

// livePair starts two processes, connected over loopback, and follows the second.
func livePair(b *testing.B, listen string) (from *api.Client, to *liveSide) {
	b.Helper()
	dirs, ids := []string{b.TempDir(), b.TempDir()}, make([]string, 2)
	for i, dir := range dirs {
		n, err := node.Open(node.Config{Data: dir})
		if err != nil {
			b.Fatal(err)
		}
		ids[i] = n.PeerID().String()
		if err := n.Close(); err != nil {
			b.Fatal(err)
		}
	}
	clients := make([]*api.Client, 2)
	addr := ""
	for i, dir := range dirs {
		c := startChild(b, childTask{Role: "live", Data: dir, Peer: ids[1-i], Listen: listen, Addr: addr})
		b.Cleanup(func() {
			if err := c.stop(); err != nil {
				b.Error(err)
			}
		})
		addr = c.line(b)
		client, err := api.Dial(b.Context(), dir)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(client.Close)
		clients[i] = client
	}
	// What is there already is in step when the first change has made its way.
	to = followSide(b, clients[1])
	to.until(b, shows(beginAt(b, clients[0], "first")))
	return clients[0], to
}

func followSide(b *testing.B, client *api.Client) *liveSide {
	b.Helper()
	s := &liveSide{make(chan node.Event, 1000)}
	ctx, cancel := context.WithCancel(b.Context())
	var join sync.WaitGroup
	join.Go(func() {
		defer close(s.events)
		for e, err := range client.Events(ctx, node.EventOptions{}) {
			if err != nil {
				return
			}
			s.events <- e
		}
	})
	b.Cleanup(func() {
		cancel()
		for range s.events {
		}
		join.Wait()
	})
	s.until(b, func(e node.Event) bool { return e.Kind == node.EventReady })
	return s
}

func (s *liveSide) until(b *testing.B, wanted func(node.Event) bool) {
	b.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case e, ok := <-s.events:
			switch {
			case !ok:
				b.Fatal("the events have ended")
			case e.Kind == node.EventMissed:
				b.Fatal("events were missed")
			case wanted(e):
				return
			}
		case <-limit:
			b.Fatal("what is waited for does not happen")
		}
	}
}

func beginAt(b testing.TB, c *api.Client, ib string) ibgib.Addr {
	b.Helper()
	change, err := c.Create(b.Context(), ibgib.Addr{}, ibgib.FirstGenOptions{Ib: ib})
	if err != nil {
		b.Fatal(err)
	}
	return change.Addr
}

// changeOf changes a timeline through the API of a node.
func changeOf(ctx context.Context, c *api.Client, of ibgib.Addr, i int) (ibgib.Addr, error) {
	text := fmt.Sprintf("change %d, with a text of some length that stands for what a person writes", i)
	change, err := c.Mut8(ctx, of, ibgib.Mut8Options{Patch: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String(text)})})
	return change.Addr, err
}

// BenchmarkLive measures the time from the moment when a change is asked of one
// node, through its API, until the other one tells of it through its own: a
// thousand changes one after the other, in two processes on loopback.
func BenchmarkLive(b *testing.B) {
	const changes = 1000
	for name, listen := range benchTransports {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				from, to := livePair(b, listen)
				note := beginAt(b, from, "note")
				to.until(b, shows(note))
				var spent []time.Duration
				for i := range changes {
					began := time.Now()
					at, err := changeOf(b.Context(), from, note, i)
					if err != nil {
						b.Fatal(err)
					}
					to.until(b, shows(at))
					spent = append(spent, time.Since(began))
				}
				slices.Sort(spent)
				b.ReportMetric(spent[changes/2].Seconds()*1000, "median-ms")
				b.ReportMetric(spent[changes*99/100].Seconds()*1000, "p99-ms")
				b.ReportMetric(spent[changes-1].Seconds()*1000, "max-ms")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

func shows(a ibgib.Addr) func(node.Event) bool {
	return func(e node.Event) bool { return e.Kind == node.EventHeads && e.Heads.Latest == a }
}

// BenchmarkLiveBurst makes ten thousand changes of a hundred timelines on one node,
// through its API, as fast as eight clients can. It counts the sagas until the other
// node has all, and the seconds: those of the changes, and those until both are in
// step after the last one.
func BenchmarkLiveBurst(b *testing.B) {
	const changes, timelines, clients = 10_000, 100, 8
	for range b.N {
		from, to := livePair(b, overTCP)
		notes := make([]ibgib.Addr, timelines)
		for i := range notes {
			notes[i] = beginAt(b, from, fmt.Sprint("note ", i))
			to.until(b, shows(notes[i]))
		}
		last := make([]ibgib.Addr, timelines)
		made := make(chan error, clients)
		began := time.Now()
		for c := range clients {
			go func() { // each has timelines of its own
				for round := range changes / timelines {
					for i := c; i < timelines; i += clients {
						at, err := changeOf(b.Context(), from, notes[i], round)
						if err != nil {
							made <- err
							return
						}
						last[i] = at
					}
				}
				made <- nil
			}()
		}
		sagas, behind := 0, clients
		there := make(map[ibgib.Addr]ibgib.Addr)
		var changing time.Duration
		inStep := func() bool {
			for i, note := range notes {
				if there[note] != last[i] {
					return false
				}
			}
			return true
		}
		for behind > 0 || !inStep() {
			select {
			case err := <-made:
				if err != nil {
					b.Fatal(err)
				}
				if behind--; behind == 0 {
					changing = time.Since(began)
				}
			case e := <-to.events:
				switch {
				case e.Kind == node.EventMissed:
					b.Fatal("events were missed")
				case e.Heads != nil:
					there[e.Heads.Tjp] = e.Heads.Latest
				case e.Saga != nil && e.Saga.State == node.SagaBegun:
					sagas++
				}
			}
		}
		b.ReportMetric(float64(sagas), "sagas")
		b.ReportMetric(changing.Seconds(), "changing-s")
		b.ReportMetric((time.Since(began) - changing).Seconds(), "after-s")
		b.ReportMetric(0, "ns/op")
	}
}
