package protocol

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// maxReasons bounds how many different reasons the text of a failed dial gives. A
// peer may be known by many addresses, most of them of the past.
const maxReasons = 3

// DialReason says in one line why no address of a peer was reached: each reason
// with the first address that it holds for, and how many more there are.
func DialReason(err error) string {
	dial, ok := errors.AsType[*swarm.DialError](err)
	if !ok {
		return reasonOf(err)
	}
	if len(dial.DialErrors) == 0 {
		return reasonOf(dial.Cause)
	}
	type group struct {
		reason, first string
		more          int
	}
	var groups []*group
	for _, e := range dial.DialErrors {
		reason := reasonOf(e.Cause)
		at := 0
		for at < len(groups) && groups[at].reason != reason {
			at++
		}
		if at == len(groups) {
			groups = append(groups, &group{reason: reason, first: e.Address.String()})
		} else {
			groups[at].more++
		}
	}
	var texts []string
	for _, g := range groups[:min(len(groups), maxReasons)] {
		text := g.reason + " at " + g.first
		if g.more > 0 {
			text += fmt.Sprintf(" and %d more", g.more)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

// reasonOf says why one address was not reached, without what the layers between
// add to it.
func reasonOf(err error) string {
	if mismatch, ok := errors.AsType[sec.ErrPeerIDMismatch](err); ok {
		return "another node, " + mismatch.Actual.String() + ", answers"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok && !errno.Timeout() {
		return errno.Error()
	}
	switch {
	case errors.Is(err, swarm.ErrNoAddresses):
		return "no address of it is known"
	case errors.Is(err, swarm.ErrNoGoodAddresses):
		return "its address cannot be resolved or used"
	case errors.Is(err, swarm.ErrNoTransport):
		return "this node cannot use such an address"
	case errors.Is(err, swarm.ErrDialBackoff):
		return "it was tried in vain a moment ago"
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return "no answer"
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
