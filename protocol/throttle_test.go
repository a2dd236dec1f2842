package protocol_test

import (
	"context"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// A slow side slows the other one down, whichever of the two has the limit, and
// a connection that is exempt is not slowed.
func TestThrottledConnections(t *testing.T) {
	const size, messages = 512 << 10, 16 // 8 MiB, of which 4 MiB go at once
	slow := func(rates protocol.Rates, exempt bool) protocol.Options {
		return protocol.Options{Throttle: protocol.NewThrottle(rates, func(ma.Multiaddr) bool { return exempt })}
	}
	free := protocol.Options{}
	tests := []struct {
		name          string
		sender, taker protocol.Options
		least         time.Duration
	}{
		{"upload", slow(protocol.Rates{PeerUpload: 4 << 20}, false), free, 900 * time.Millisecond},
		{"download", free, slow(protocol.Rates{Download: 4 << 20}, false), 900 * time.Millisecond},
		// It would take more than the patience of the test.
		{"exempt", slow(protocol.Rates{Upload: protocol.MinThrottle}, true), free, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ended := make(chan error, 1)
			h, _ := serve(t, transports[0].listen, everyone, func(ctx context.Context, _ peer.ID, _ *saga.Init, conn saga.Conn) {
				for n := 0; ; n++ {
					if _, _, err := conn.Receive(ctx); err != nil || n == messages {
						ended <- err
						return
					}
				}
			}, tt.taker)
			conn := dial(t, newHost(t, transports[0].listen), h, tt.sender)
			defer conn.Abort()
			began := time.Now()
			send(t, conn, firstInit)
			for range messages {
				send(t, conn, &saga.Delta{ID: firstInit.ID, Items: []saga.Item{{Bytes: make([]byte, size)}}})
			}
			if err := await(t, "all messages", ended); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < tt.least {
				t.Errorf("took %s, want at least %s", took, tt.least)
			}
		})
	}
}
