package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	kadpb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"google.golang.org/protobuf/proto"
)

// Strangers at a few addresses open all streams that a DHT server takes: others are
// answered, on a stream that they have and on a new one.
func TestHostileDHTPlaces(t *testing.T) {
	boot, _ := bootstrapNode(t)
	info := infoOf(t, boot)
	before := newAnnouncer(t, info)
	before.flush(t)
	ping, err := proto.Marshal(&kadpb.Message{Type: kadpb.Message_PING})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 160 {
		// With a port to share, it connects from where it listens.
		h, err := libp2p.New(libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/127.0.%d.2/tcp/0", i/maxBootstrapPerAddr)), libp2p.DisableRelay(), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		if err := h.Connect(t.Context(), info); err != nil {
			t.Fatal(err)
		}
		for range kadStreamsPerPeer {
			s, err := h.NewStream(t.Context(), info.ID, kadID)
			if err != nil {
				t.Fatalf("stranger %d: %v", i, err)
			}
			_ = s.SetDeadline(time.Now().Add(time.Minute))
			_, _ = s.Write(append([]byte{byte(len(ping))}, ping...))
			_, _ = s.Read(make([]byte, 8))
		}
	}
	before.flush(t)
	for range 10 {
		newAnnouncer(t, info).flush(t)
	}
	open := 0
	for _, c := range boot.host.Network().Conns() {
		for _, s := range c.GetStreams() {
			if s.Protocol() == kadID {
				open++
			}
		}
	}
	if open < 256 || open > 400 {
		t.Errorf("%d streams are open, want some 384", open)
	}
}
