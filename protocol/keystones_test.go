package protocol_test

import (
	"context"
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

func TestAskKeystone(t *testing.T) {
	const genesis = "keystone^GENESIS"
	to, from := newHost(t, transports[0].listen), newHost(t, transports[0].listen)
	var failure error
	serveOn(t, to, protocol.Handlers{
		Authorize: func(context.Context, peer.ID) error { return nil },
		Saga:      func(context.Context, peer.ID, *saga.Init, saga.Conn) {},
		Keystone: func(_ context.Context, p peer.ID, ask *protocol.KeystoneFrames) (*protocol.KeystoneFrames, error) {
			if p != from.ID() || ask.Genesis != genesis || ask.Known != fill('k') {
				t.Errorf("%s asked %+v", p, ask)
			}
			return &protocol.KeystoneFrames{Known: fill('n'), Frames: [][]byte{[]byte("frame")}, More: true}, failure
		},
	}, protocol.Options{})
	if err := from.Connect(testContext(t), infoOf(to)); err != nil {
		t.Fatal(err)
	}
	answer, err := protocol.AskKeystone(testContext(t), from, to.ID(), genesis, fill('k'), protocol.Options{})
	if err != nil || answer.Known != fill('n') || len(answer.Frames) != 1 || !answer.More {
		t.Errorf("%+v, %v", answer, err)
	}
	failure = errors.New("a disk")
	_, err = protocol.AskKeystone(testContext(t), from, to.ID(), genesis, fill('k'), protocol.Options{})
	wantCode(t, err, saga.CodeInternal)

	for name, ask := range map[string]*protocol.KeystoneFrames{
		"about nothing": {},
		"an answer":     {Genesis: genesis, Reply: true},
		"with frames":   {Genesis: genesis, Frames: [][]byte{[]byte("frame")}},
	} {
		stream := rawStream(t, from, to)
		writeFrame(t, stream, ask)
		frame, err := nextFrame(stream)
		if err != nil {
			t.Fatal(err)
		}
		m, err := protocol.Decode(frame)
		if told, is := m.(*saga.Error); err != nil || !is || told.Code != saga.CodeProtocol {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// What a peer that is asked may answer without an answer.
func TestAskKeystoneOfAHostilePeer(t *testing.T) {
	const genesis = "keystone^GENESIS"
	for name, answer := range map[string]saga.Message{
		"the question":      &protocol.KeystoneFrames{Genesis: genesis},
		"another keystone":  &protocol.KeystoneFrames{Genesis: "keystone^OTHER", Reply: true},
		"more, and nothing": &protocol.KeystoneFrames{Genesis: genesis, Reply: true, More: true},
		"a hello":           &protocol.Hello{Nonce: fill('n')},
	} {
		t.Run(name, func(t *testing.T) {
			to, from := newHost(t, transports[0].listen), newHost(t, transports[0].listen)
			to.SetStreamHandler(protocol.ID, func(stream network.Stream) {
				defer stream.Close()
				if _, err := nextFrame(stream); err == nil {
					writeFrame(t, stream, answer)
				}
			})
			if err := from.Connect(testContext(t), infoOf(to)); err != nil {
				t.Fatal(err)
			}
			_, err := protocol.AskKeystone(testContext(t), from, to.ID(), genesis, ibgib.Hash{}, protocol.Options{})
			wantCode(t, err, saga.CodeProtocol)
		})
	}
}
