package blockstore

import (
	"errors"
	"fmt"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Errors that callers branch on.
var (
	// ErrNotFound says that nothing is stored under the address.
	ErrNotFound = errors.New("not found")
	// ErrIncomplete says that a block is stored, but waits for something that it
	// links to.
	ErrIncomplete = errors.New("incomplete")
	// ErrInUse says that another process has the store open.
	ErrInUse = errors.New("store is in use by another process")
	// ErrReadOnly says that the folder of the store cannot be written to.
	ErrReadOnly = errors.New("the store cannot be written to, which is needed even to read it")
	// ErrBadBackup says that a stream is not a whole backup, as it was written.
	ErrBadBackup = errors.New("not a sound backup")
	// ErrBusy says that GC is running already.
	ErrBusy = errors.New("garbage collection is running")
	// ErrClosed says that the store has been closed.
	ErrClosed = errors.New("store is closed")
	// ErrDiskFull says that less of the disk is free than the store has to leave
	// free. What is stored can be read, and GC can remove.
	ErrDiskFull = errors.New("the disk is nearly full")
	// ErrOtherLog says that a place is not one of this change log: it has begun anew
	// since, or it is that of another store.
	ErrOtherLog = errors.New("not a place in this change log")
	// ErrNewer says that a newer version of the program wrote the store.
	ErrNewer = errors.New("store has a newer format")
	// ErrHalfApplied says that a commit was decided, or may have been, but could not be
	// applied, for want of disk space perhaps. The store refuses every call until it is
	// opened again, which completes the commit if it was decided.
	ErrHalfApplied = errors.New("a decided commit could not be applied; free disk space and restart")
	// ErrCorrupt says that a record of the store is damaged.
	ErrCorrupt = errors.New("store is damaged")
)

// ErrPeerBudget says that a peer has brought as much that no timeline needs yet as it
// may. It is told by a *PeerBudgetError.
var ErrPeerBudget = errors.New("the budget of the peer is used up")

// A PeerBudgetError says whose budget it is.
type PeerBudgetError struct {
	Peer   string
	Budget int64 // bytes
	// Alone says that the stage at hand is too large by itself. Else the rest is
	// what earlier stages have left, which expires.
	Alone bool
	// Fetched says that it is the budget of all that is fetched (Origin.Fetched), or
	// may be.
	Fetched bool
}

func (e *PeerBudgetError) Error() string {
	what := "with what it has left behind before"
	if e.Alone {
		what = "in one change"
	}
	if e.Fetched {
		return fmt.Sprintf("%v: %s and all others of which something was fetched have brought more than %d MiB that no timeline has yet", ErrPeerBudget, e.Peer, e.Budget>>20)
	}
	return fmt.Sprintf("%v: %s has brought more than %d MiB that no timeline has yet, %s", ErrPeerBudget, e.Peer, e.Budget>>20, what)
}

// Is makes a PeerBudgetError an ErrPeerBudget.
func (e *PeerBudgetError) Is(target error) bool { return target == ErrPeerBudget }

// RuleAlias refuses an ibGib that links to an address which cannot exist, since the
// hash belongs to another: in any stage one with two addresses for one hash, in the
// stage of a peer also one of which the share has the other address. What this node
// stores by itself otherwise waits, and Get of such an address is an *AliasError.
const RuleAlias ibgib.Rule = "alias-link"

// An AliasError says that an address cannot exist: its hash belongs to another.
type AliasError struct {
	Asked, Stored ibgib.Addr
}

func (e *AliasError) Error() string {
	return fmt.Sprintf("%q cannot exist: its hash belongs to %q", e.Asked, e.Stored)
}

// Is makes an AliasError count as ErrNotFound.
func (e *AliasError) Is(target error) bool { return target == ErrNotFound }

func corrupt(what string, key []byte, err error) error {
	return fmt.Errorf("%w: %s %x: %w", ErrCorrupt, what, key, err)
}
