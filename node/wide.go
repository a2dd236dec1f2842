package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

const (
	// The search for the nodes of the own mesh is repeated after a wait that doubles
	// from the first to the last.
	firstMeshSearch = 2 * time.Second
	lastMeshSearch  = 10 * time.Minute
	meshSearchTime  = time.Minute // of one search
	// saveDHTEvery is how often what the DHT remembers is stored.
	saveDHTEvery = 10 * time.Minute
	// maxDHTFile bounds what is read of it.
	maxDHTFile = 64 << 20
)

// wide is the part that a node takes in a DHT: it announces the timelines that a
// person has marked and, under the key of the mesh, the node itself; and looks for
// others of the mesh.
type wide struct {
	n    *Node
	kad  *dht.Kad
	mesh cid.Cid
	path string
}

// dhtFile is the content of the file in which the DHT remembers.
type dhtFile struct {
	Version int  `json:"version"`
	Public  bool `json:"public"` // of the DHT
	dht.Memory
}

const dhtFileVersion = 1

// startWide begins to take part in the DHT, as configured.
func startWide(ctx context.Context, n *Node, h host.Host) (*wide, error) {
	key, err := dht.RendezvousKey(n.mesh.Name, n.mesh.tag())
	if err != nil {
		return nil, err
	}
	w := &wide{n: n, mesh: key, path: n.dir.DHT()}
	memory, err := w.load()
	if err != nil {
		return nil, err
	}
	w.kad, err = dht.StartKad(ctx, h, dht.KadOptions{
		Mode: n.reach.DHT, Public: n.reach.PublicDHT, Bootstrap: n.reach.seeds, BucketSize: n.reach.BucketSize,
		Memory: memory, Loopback: onlyLoopback(n.listen),
	})
	if err != nil {
		return nil, err
	}
	keys := append(n.announced.keys(), key)
	if err := w.kad.Announce(keys...); err != nil {
		return nil, errors.Join(err, w.kad.Close())
	}
	return w, nil
}

// goWide has a host that has been started find others beyond the local network, with
// n.mu held.
func (n *Node) goWide(ctx context.Context, h host.Host, f *finder) error {
	if err := n.watchReach(ctx, h); err != nil {
		return err
	}
	if n.reach.DHT == DHTOff {
		return nil
	}
	w, err := startWide(ctx, n, h)
	if err != nil {
		return err
	}
	n.wide.Store(w)
	n.join.Go(func() { w.run(ctx, f.far) })
	return nil
}

// run hands those that are found under the key of the mesh to found, and stores now
// and then what the DHT remembers, until ctx ends.
func (w *wide) run(ctx context.Context, found chan<- peer.AddrInfo) {
	save := time.NewTicker(saveDHTEvery)
	defer save.Stop()
	wait := firstMeshSearch
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			w.search(ctx, found)
			wait = min(2*wait, lastMeshSearch)
			timer.Reset(wait*3/4 + rand.N(wait/2))
		case <-save.C:
			if err := w.save(); err != nil {
				w.n.log.Warn("memory of the DHT not stored", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (w *wide) search(ctx context.Context, found chan<- peer.AddrInfo) {
	ctx, cancel := context.WithTimeout(ctx, meshSearchTime)
	defer cancel()
	for info := range w.kad.FindProviders(ctx, w.mesh) {
		select {
		case found <- info:
		case <-ctx.Done():
			return
		}
	}
}

// close ends the part in the DHT and stores what it remembers; w may be nil.
func (w *wide) close() error {
	if w == nil {
		return nil
	}
	return errors.Join(w.kad.Close(), w.save())
}

// load reads what the DHT remembers. A file that is missing, damaged, or of another
// DHT is none.
func (w *wide) load() (dht.Memory, error) {
	f, err := os.Open(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return dht.Memory{}, nil
	}
	if err != nil {
		return dht.Memory{}, fmt.Errorf("memory of the DHT: %w", err)
	}
	defer f.Close()
	var file dhtFile
	if json.NewDecoder(io.LimitReader(f, maxDHTFile)).Decode(&file) != nil || file.Version != dhtFileVersion || file.Public != w.n.reach.PublicDHT {
		return dht.Memory{}, nil
	}
	return file.Memory, nil
}

func (w *wide) save() error {
	text, err := json.Marshal(dhtFile{dhtFileVersion, w.n.reach.PublicDHT, w.kad.Memory()})
	if err == nil {
		err = datadir.WriteFile(w.path, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("memory of the DHT: %w", err)
	}
	return nil
}
