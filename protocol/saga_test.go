package protocol_test

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// Whole sagas between two hosts: what moves first is equal afterwards, and both
// sides come to a clean end.
func TestSagaBetweenHosts(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			one := newParty(t, []ibgib.IbGib{firstFrame(t, "shared"), firstFrame(t, "mine")})
			other := newParty(t, []ibgib.IbGib{firstFrame(t, "shared"), firstFrame(t, "yours")})
			run := func(ctx context.Context, c saga.Config, p *party) (saga.Result, error) {
				c.Blocks, c.Index = p, p
				c.Intake = func(context.Context) (saga.Intake, error) { return p, nil }
				return saga.Run(ctx, c)
			}
			type end struct {
				result saga.Result
				err    error
			}
			ends := make(chan end, 1)
			h, _ := serve(t, transport.listen, everyone, func(ctx context.Context, p peer.ID, _ *saga.Init, conn saga.Conn) {
				var e end
				e.result, e.err = run(ctx, saga.Config{Role: saga.Responder, Conn: conn}, other)
				ends <- e
			}, protocol.Options{})
			from := newHost(t, transport.listen)
			for round, moved := range []uint64{1, 0} {
				conn := dial(t, from, h, protocol.Options{})
				id := saga.ID(fill(byte('a' + round)))
				result, err := run(testContext(t), saga.Config{Role: saga.Initiator, ID: id, Conn: conn}, one)
				if err != nil {
					t.Fatal(err)
				}
				responder := await(t, "the responder's end", ends)
				if responder.err != nil {
					t.Fatal(responder.err)
				}
				for _, r := range []saga.Result{result, responder.result} {
					if !r.Converged || r.Sent.IbGibs != moved || r.Received.IbGibs != moved || r.Equal != (moved == 0) {
						t.Errorf("round %d: %+v", round, r)
					}
				}
			}
		})
	}
}
