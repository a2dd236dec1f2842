package node

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// Why a peer is marked.
const (
	// MarkLied: it answered with something else than what it was asked for. Nothing is
	// fetched from it while the mark lasts, unless it is named.
	MarkLied = "lied"
	// MarkFailed: it said nothing, was by far slower than others, or showed one part of
	// what it has and not the other. It is asked after all others.
	MarkFailed = "failed"
)

// How long marks last, and how many are kept: then the oldest go.
const (
	liedFor   = 7 * 24 * time.Hour
	failedFor = time.Hour
	maxMarks  = 1000
)

// Mark says that something fetched from a peer was not what it should have been.
type Mark struct {
	Kind   string    `json:"kind"`   // MarkLied or MarkFailed
	Detail string    `json:"detail"` // for people; may have foreign text
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
}

// marks is the list of marked peers, kept in a file.
type marks struct {
	path string
	now  func() time.Time

	mu   sync.Mutex
	list map[peer.ID]Mark
}

// marksFile is the content of the file.
type marksFile struct {
	Version int              `json:"version"`
	Peers   map[peer.ID]Mark `json:"peers"`
}

const marksFileVersion = 1

// loadMarks reads the file. One that is damaged is none: the marks save time, and
// nothing else rests on them.
func loadMarks(path string, now func() time.Time) (*marks, error) {
	m := &marks{path: path, now: now, list: make(map[peer.ID]Mark)}
	var file marksFile
	_, err := datadir.ReadJSON(path, &file)
	if err != nil && !errors.Is(err, datadir.ErrDamaged) {
		return nil, fmt.Errorf("marked peers: %w", err)
	}
	if err == nil && file.Version == marksFileVersion && file.Peers != nil {
		m.list = file.Peers
	}
	return m, nil
}

// of returns the mark of a peer, nil if it has none or it is over.
func (m *marks) of(p peer.ID) *Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	mark, ok := m.list[p]
	if !ok || !m.now().Before(mark.Until) {
		return nil
	}
	return &mark
}

// add marks a peer and stores the list. A lie outweighs a failure.
func (m *marks) add(p peer.ID, kind, detail string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now().UTC().Truncate(time.Second)
	if old, ok := m.list[p]; ok && old.Kind == MarkLied && kind != MarkLied && now.Before(old.Until) {
		return nil
	}
	stays := failedFor
	if kind == MarkLied {
		stays = liedFor
	}
	m.list[p] = Mark{Kind: kind, Detail: shorten(detail), Since: now, Until: now.Add(stays)}
	m.prune(now)
	return m.store()
}

// remove takes a mark away.
func (m *marks) remove(p peer.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.list[p]; !ok {
		return nil
	}
	delete(m.list, p)
	return m.store()
}

// prune drops what is over, and of too many the oldest, with m.mu held.
func (m *marks) prune(now time.Time) {
	var peers []peer.ID
	for p, mark := range m.list {
		if !now.Before(mark.Until) {
			delete(m.list, p)
			continue
		}
		peers = append(peers, p)
	}
	if len(peers) <= maxMarks {
		return
	}
	slices.SortFunc(peers, func(a, b peer.ID) int { return m.list[a].Since.Compare(m.list[b].Since) })
	for _, p := range peers[:len(peers)-maxMarks] {
		delete(m.list, p)
	}
}

// store writes the file, with m.mu held.
func (m *marks) store() error {
	if err := datadir.WriteJSON(m.path, marksFile{marksFileVersion, m.list}); err != nil {
		return fmt.Errorf("marked peers: %w", err)
	}
	return nil
}
