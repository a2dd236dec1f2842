package node

import (
	"errors"
	"fmt"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/form"
	"github.com/ibgib/ibgib-node/node/internal/datadir"
)

// Errors that callers branch on, beside those of blockstore (ErrNotFound,
// ErrInUse, ErrClosed, ErrNewer, ErrCorrupt), *ibgib.Refusal,
// *ibgib.TransformError, *timeline.Rejection and *saga.Error.
var (
	// ErrInput says that an argument is not what it must be.
	ErrInput = errors.New("bad input")
	// ErrFormat says that a file is in a format that this version does not read.
	ErrFormat = form.ErrFormat
	// ErrNewer says that a newer version of the program made the data directory.
	ErrNewer = datadir.ErrNewer
	// ErrStarted says that the node was started before.
	ErrStarted = errors.New("the node has been started")
	// ErrNotStarted says that the node has not been started.
	ErrNotStarted = errors.New("the node has not been started")
	// ErrNoDHT says that the node takes part in no DHT.
	ErrNoDHT = errors.New("the node takes part in no DHT: run it with --bootstrap or --dht")
	// ErrClosed says that the node was closed.
	ErrClosed = errors.New("the node is closed")
)

// absence says in its own words what is not there; it is blockstore.ErrNotFound.
type absence string

func (a absence) Error() string { return string(a) }

// Is makes an absence count as blockstore.ErrNotFound.
func (a absence) Is(target error) bool { return target == blockstore.ErrNotFound }

const (
	errNoTimeline absence = "it is stored, but belongs to no timeline"
	errOneHead    absence = "the timeline has one head only, so there is nothing to resolve"
	errNoMerge    absence = "the timeline has never diverged"

	errNotAnnounced absence = "the timeline is not announced"
	errNotFollowed  absence = "the timeline is not followed"
)

// A MissingLinkError says that a change links to something that is not stored,
// or that itself waits for something. Such a frame could not be shown to
// others, so the change was not made.
type MissingLinkError struct {
	Addr ibgib.Addr
}

func (e *MissingLinkError) Error() string {
	return fmt.Sprintf("%q is linked to, but is not stored with all it links to: import or sync it first", e.Addr)
}
