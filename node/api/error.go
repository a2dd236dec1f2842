package api

import (
	"fmt"
	"strings"
)

// Code names a kind of failure. Codes are stable: scripts and exit codes rely
// on them.
type Code string

// The codes.
const (
	CodeBadRequest   Code = "bad-request"   // the request is not understood
	CodeNoEndpoint   Code = "no-endpoint"   // the API has no such path
	CodeWrongMethod  Code = "wrong-method"  // the path is for other methods, as Allow says
	CodeUnauthorized Code = "unauthorized"  // no token, or a wrong one
	CodeForbidden    Code = "forbidden"     // Host or Origin is not this API's own
	CodeNotFound     Code = "not-found"     // no such ibGib, timeline, frame or peer
	CodeRefused      Code = "refused"       // the intake gate or a transform refused it; Rule says which rule
	CodeRejected     Code = "rejected"      // stored, but a rule keeps it out of its timeline
	CodeMissingLink  Code = "missing-link"  // a link to something that is not stored
	CodeOutside      Code = "outside-share" // it would bring timelines into a share that does not list them
	CodeTooLarge     Code = "too-large"     // over a limit of the API
	CodeInUse        Code = "in-use"        // another process has the store open
	CodeClosed       Code = "closed"        // the node is shutting down
	CodeCorrupt      Code = "corrupt"       // a record of the store is damaged
	CodeDiskFull     Code = "disk-full"     // less of the disk is free than has to stay free
	CodeUntrusted    Code = "untrusted"     // the other node does not trust this one, or the reverse
	CodeUnreachable  Code = "unreachable"   // no connection to the other node
	CodeTimeout      Code = "timeout"       // the other side was silent for too long
	CodeBusy         Code = "busy"          // another saga is under way
	CodeProtocol     Code = "protocol"      // the other node broke the sync protocol
	CodeLimit        Code = "limit"         // a limit of the sync protocol was passed
	CodeUnsupported  Code = "unsupported"   // this version, or the other node, cannot do that
	CodeCanceled     Code = "canceled"      // stopped by a person or by shutdown
	CodeNoDaemon     Code = "no-daemon"     // no node runs on the data directory (client side only)
	CodeBrokenStream Code = "broken-stream" // the answer ended before its result (client side only)
	CodeInternal     Code = "internal"      // anything else
)

// Error is a failure as the API reports it, and what every method of Client
// returns.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	// Rule is the rule of the gate, a transform or the index that was broken,
	// with CodeRefused and CodeRejected. With CodeUntrusted it says why a session was
	// refused: unknown, revoked, disputed, expired or bad-proof.
	Rule string `json:"rule,omitempty"`
	// Remote tells that the other node of a sync reported the failure.
	Remote bool `json:"remote,omitempty"`
	// Retry tells that trying again later may help.
	Retry bool `json:"retry,omitempty"`

	err error // client side: the cause
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Code) }

// Unwrap returns the cause, if the failure was noticed on this side.
func (e *Error) Unwrap() error { return e.err }

// Plain takes the names of our packages, and what the code says already, out of the
// prefixes of an error's text.
func Plain(text string) string {
	parts := strings.Split(text, ": ")
	kept := parts[:0]
	for i, part := range parts {
		switch part {
		case "node", "api", "blockstore", "ibgib", "saga", "protocol", "bad input":
			if i < len(parts)-1 {
				continue
			}
		}
		if len(kept) == 0 || kept[len(kept)-1] != part { // two layers may name the same work
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ": ")
}
