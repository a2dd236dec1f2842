package protocol

import (
	"context"
	"io"

	"github.com/ibgib/ibgib-node/saga"
)

// Credentials are what a side shows of its keystones in a meeting in which both sides
// have named a session: the frames of its primary that the other side lacks, of an
// earlier primary before those, and last the frames of its session, the newest of which
// signs the two nonces. See SPEC.md.

// maxCredentials bounds the messages of one side's credentials.
const maxCredentials = 4

// HasSessions reports whether both sides have named a session: then both trust each
// other, as they say, and credentials are exchanged before the end.
func (m *Meeting) HasSessions() bool { return m.own.Genesis != "" && m.Session != "" }

// Show sends this side's credentials, 1 to 4 messages of which the last, and no other,
// is about its session. The initiator shows its own before it has seen those of the
// responder, the responder afterwards.
func (m *Meeting) Show(ctx context.Context, credentials []*KeystoneFrames) error {
	for _, c := range credentials {
		c.Reply = true
		if _, err := m.conn.Send(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// Shown reads the other side's credentials. To a responder they may come with the
// initiator's doubts: it first says what End would say. What is in them is what the
// other side claims. Errors are *saga.Error.
func (m *Meeting) Shown(ctx context.Context) ([]*KeystoneFrames, error) {
	if err := m.sayLast(ctx); err != nil {
		return nil, err
	}
	var list []*KeystoneFrames
	for len(list) < maxCredentials {
		next, err := m.nextShown(ctx)
		if err != nil {
			return nil, err
		}
		if !next.Reply || next.Genesis == "" {
			return nil, &saga.Error{Code: saga.CodeProtocol, Text: "credentials that bring no frames of a keystone"}
		}
		if list = append(list, next); next.Genesis == m.Session {
			return list, nil
		}
	}
	return nil, &saga.Error{Code: saga.CodeProtocol, Text: "credentials without the session that was named"}
}

func (m *Meeting) nextShown(ctx context.Context) (*KeystoneFrames, error) {
	if first := m.shown; first != nil {
		m.shown = nil
		return first, nil
	}
	message, _, err := m.conn.Receive(ctx)
	if err == io.EOF {
		return nil, &saga.Error{Code: saga.CodeUnreachable, Text: "the peer has ended the meeting without its credentials", Retry: true}
	}
	if err != nil {
		return nil, err
	}
	switch message := message.(type) {
	case *KeystoneFrames:
		return message, nil
	case *saga.Error:
		return nil, message
	default:
		return nil, &saga.Error{Code: saga.CodeProtocol, Text: "credentials are keystone_frames"}
	}
}
