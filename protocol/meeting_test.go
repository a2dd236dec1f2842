package protocol_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/protocol/internal/pb"
	"github.com/ibgib/ibgib-node/saga"
)

func newSecret(t testing.TB, text string) *protocol.MeshSecret {
	t.Helper()
	s, err := protocol.NewMeshSecret([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	secretText  = "the secret of this mesh"
	anotherText = "the secret of another mesh"
)

// greeter is a service of a node that trusts nobody; the meetings that it has had
// come on its channel.
type greeter struct {
	host host.Host
	met  chan protocol.Meeting
}

func newGreeter(t testing.TB, listen string, self protocol.Self, opts protocol.Options) greeter {
	t.Helper()
	g := greeter{newHost(t, listen), make(chan protocol.Meeting, 16)}
	serveOn(t, g.host, protocol.Handlers{
		Authorize: func(context.Context, peer.ID) error { return errors.New("a stranger") },
		Saga: func(_ context.Context, p peer.ID, _ *saga.Init, _ saga.Conn) {
			t.Errorf("a saga of %s was handed on", p)
		},
		Meet: func(_ context.Context, m *protocol.Meeting) { g.met <- *m },
		Self: self,
	}, opts)
	return g
}

func TestMeeting(t *testing.T) {
	secret, another := newSecret(t, secretText), newSecret(t, anotherText)
	same := newSecret(t, "\n"+secretText+" \r\n")
	tests := []struct {
		name                 string
		initiator, responder *protocol.MeshSecret
		known                protocol.Proof // what the responder learns
		code                 saga.Code      // what the initiator is told, if not the same
	}{
		{"the same secret", secret, same, protocol.ProofGood, 0},
		{"another secret", another, secret, protocol.ProofWrong, saga.CodeUntrusted},
		{"only the initiator has one", secret, nil, protocol.ProofNone, 0},
		{"only the responder has one", nil, secret, protocol.ProofNone, 0},
		{"no secret", nil, nil, protocol.ProofNone, 0},
	}
	for _, transport := range transports {
		for _, tt := range tests {
			t.Run(transport.name+"/"+tt.name, func(t *testing.T) {
				g := newGreeter(t, transport.listen, protocol.Self{Secret: tt.responder}, protocol.Options{})
				from := newHost(t, transport.listen)
				m, err := protocol.Meet(testContext(t), from, infoOf(g.host), protocol.Self{Secret: tt.initiator}, protocol.Options{})
				if tt.code != 0 {
					wantCode(t, err, tt.code)
				} else {
					if err != nil {
						t.Fatal(err)
					}
					if m.Peer != g.host.ID() || m.Proof != tt.known {
						t.Errorf("the initiator met %s, proof %d; want %s, %d", m.Peer, m.Proof, g.host.ID(), tt.known)
					}
					if err := m.End(testContext(t)); err != nil {
						t.Error(err)
					}
				}
				met := await(t, "the meeting", g.met)
				if met.Peer != from.ID() || met.Proof != tt.known {
					t.Errorf("the responder met %s, proof %d; want %s, %d", met.Peer, met.Proof, from.ID(), tt.known)
				}
				if remote := met.Conn().RemotePeer(); remote != from.ID() {
					t.Errorf("the meeting was on a connection of %s", remote)
				}
			})
		}
	}
}

// A responder that refuses shows no proof, also to one that knows the secret.
func TestRefusedMeeting(t *testing.T) {
	self := protocol.Self{Secret: newSecret(t, secretText)}
	h := newHost(t, transports[0].listen)
	serveOn(t, h, protocol.Handlers{
		Authorize: everyone, Saga: unwanted(t), Self: self,
		Meet: func(ctx context.Context, m *protocol.Meeting) { m.Refuse(ctx) },
	}, protocol.Options{})
	_, err := protocol.Meet(testContext(t), newHost(t, transports[0].listen), infoOf(h), self, protocol.Options{})
	wantCode(t, err, saga.CodeUntrusted)
}

func TestMeshSecretBounds(t *testing.T) {
	for _, n := range []int{0, protocol.MinSecret - 1, protocol.MaxSecret + 1} {
		if _, err := protocol.NewMeshSecret([]byte(" " + strings.Repeat("x", n) + "\n")); !errors.Is(err, protocol.ErrSecret) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	a, b, c := newSecret(t, secretText), newSecret(t, secretText+"\n"), newSecret(t, anotherText)
	if a.Tag() != b.Tag() || a.Tag() == c.Tag() || strings.Contains(a.Tag(), "secret") {
		t.Errorf("tags %q, %q, %q", a.Tag(), b.Tag(), c.Tag())
	}
}

// A proof is good for one meeting, in one direction.
func TestProofIsBound(t *testing.T) {
	secret := newSecret(t, secretText)
	ends := protocol.Ends{Initiator: "a", Responder: "bc", InitiatorNonce: fill('i'), ResponderNonce: fill('r')}
	proof := secret.Prove(saga.Initiator, ends)
	if !secret.Verify(saga.Initiator, ends, proof) {
		t.Error("the proof does not hold where it was made for")
	}
	tests := []struct {
		name string
		by   saga.Role
		ends protocol.Ends
	}{
		{"the other role", saga.Responder, ends},
		{"sides changed", saga.Initiator, protocol.Ends{Initiator: "bc", Responder: "a", InitiatorNonce: fill('r'), ResponderNonce: fill('i')}},
		{"another initiator", saga.Initiator, protocol.Ends{Initiator: "x", Responder: "bc", InitiatorNonce: fill('i'), ResponderNonce: fill('r')}},
		{"another responder", saga.Initiator, protocol.Ends{Initiator: "a", Responder: "x", InitiatorNonce: fill('i'), ResponderNonce: fill('r')}},
		{"ids cut elsewhere", saga.Initiator, protocol.Ends{Initiator: "ab", Responder: "c", InitiatorNonce: fill('i'), ResponderNonce: fill('r')}},
		{"another nonce of the initiator", saga.Initiator, protocol.Ends{Initiator: "a", Responder: "bc", InitiatorNonce: fill('x'), ResponderNonce: fill('r')}},
		{"another nonce of the responder", saga.Initiator, protocol.Ends{Initiator: "a", Responder: "bc", InitiatorNonce: fill('i'), ResponderNonce: fill('x')}},
	}
	for _, tt := range tests {
		if secret.Verify(tt.by, tt.ends, proof) {
			t.Errorf("%s: the proof holds", tt.name)
		}
	}
	for _, wrong := range [][]byte{nil, proof[:31], append(bytes.Clone(proof), 0), newSecret(t, anotherText).Prove(saga.Initiator, ends)} {
		if secret.Verify(saga.Initiator, ends, wrong) {
			t.Errorf("%x holds", wrong)
		}
	}
}

// What a stranger that does not know the secret gets out of a meeting, whatever
// it sends: never a proof.
func TestHostileInitiator(t *testing.T) {
	secret := newSecret(t, secretText)
	own := fill('i')
	features := []string{"mesh-secret"}
	tests := []struct {
		name  string
		first saga.Message
		// second is sent in answer to the introduction of the responder; nil: nothing.
		second func(ends protocol.Ends) saga.Message
		code   saga.Code // of the answer; 0: none
	}{
		{"no proof", &protocol.Hello{Features: features, Nonce: own}, nil, 0},
		{"a proof of another secret", &protocol.Hello{Features: features, Nonce: own}, func(ends protocol.Ends) saga.Message {
			return &protocol.Hello{Nonce: own, MeshSecretProof: newSecret(t, anotherText).Prove(saga.Initiator, ends)}
		}, saga.CodeUntrusted},
		{"a proof that the responder could have made", &protocol.Hello{Features: features, Nonce: own}, func(ends protocol.Ends) saga.Message {
			return &protocol.Hello{Nonce: own, MeshSecretProof: secret.Prove(saga.Responder, ends)}
		}, saga.CodeUntrusted},
		{"a proof of another meeting", &protocol.Hello{Features: features, Nonce: own}, func(ends protocol.Ends) saga.Message {
			ends.ResponderNonce = fill('r')
			return &protocol.Hello{Nonce: own, MeshSecretProof: secret.Prove(saga.Initiator, ends)}
		}, saga.CodeUntrusted},
		{"a proof of another peer", &protocol.Hello{Features: features, Nonce: own}, func(ends protocol.Ends) saga.Message {
			ends.Initiator = ends.Responder
			return &protocol.Hello{Nonce: own, MeshSecretProof: secret.Prove(saga.Initiator, ends)}
		}, saga.CodeUntrusted},
		{"an early proof", &protocol.Hello{Nonce: own, MeshSecretProof: []byte("proof")}, nil, saga.CodeProtocol},
		{"another nonce", &protocol.Hello{Features: features, Nonce: own}, func(ends protocol.Ends) saga.Message {
			ends.InitiatorNonce = fill('x')
			return &protocol.Hello{Nonce: fill('x'), MeshSecretProof: secret.Prove(saga.Initiator, ends)}
		}, saga.CodeProtocol},
		{"a saga in between", &protocol.Hello{Features: features, Nonce: own}, func(protocol.Ends) saga.Message {
			return firstInit
		}, saga.CodeProtocol},
		{"an init", firstInit, nil, saga.CodeUntrusted},
		{"a notice", noticeOf("q"), nil, saga.CodeUntrusted},
		{"more than a stranger may send", largeInit(), nil, saga.CodeUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGreeter(t, transports[0].listen, protocol.Self{Secret: secret}, protocol.Options{})
			from := newHost(t, transports[0].listen)
			stream := rawStream(t, from, g.host)
			writeFrame(t, stream, tt.first)
			if tt.second != nil {
				introduction := readHello(t, stream)
				if len(introduction.MeshSecretProof) > 0 {
					t.Fatal("a proof without being asked for one")
				}
				writeFrame(t, stream, tt.second(protocol.Ends{
					Initiator: from.ID(), Responder: g.host.ID(), InitiatorNonce: own, ResponderNonce: introduction.Nonce,
				}))
			} else if err := stream.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			var got saga.Code
			for {
				frame, err := nextFrame(stream)
				if err != nil {
					break
				}
				m, err := protocol.Decode(frame)
				if err != nil {
					t.Fatal(err)
				}
				switch m := m.(type) {
				case *protocol.Hello:
					if len(m.MeshSecretProof) > 0 {
						t.Error("the stranger got a proof")
					}
				case *saga.Error:
					got = m.Code
				}
			}
			if got != tt.code {
				t.Errorf("answer %s, want %s", got, tt.code)
			}
			select {
			case m := <-g.met:
				if m.Proof == protocol.ProofGood {
					t.Error("the stranger is taken for a member")
				}
			default:
				if tt.code == 0 {
					await(t, "the meeting", g.met)
				}
			}
		})
	}
}

// What a peer that was dialled may answer without knowing the secret.
func TestHostileResponder(t *testing.T) {
	secret := newSecret(t, secretText)
	own := fill('r')
	introduction := func(*protocol.Hello) saga.Message {
		return &protocol.Hello{Features: []string{"mesh-secret"}, Nonce: own}
	}
	tests := []struct {
		name          string
		first, second func(*protocol.Hello) saga.Message
		code          saga.Code // of the error of Meet; 0: the proof is no good
	}{
		{"the initiator's proof", introduction, func(h *protocol.Hello) saga.Message {
			return &protocol.Hello{Nonce: own, MeshSecretProof: h.MeshSecretProof}
		}, 0},
		{"no proof", introduction, func(*protocol.Hello) saga.Message { return &protocol.Hello{Nonce: own} }, 0},
		{"everything back", func(h *protocol.Hello) saga.Message { return h }, nil, saga.CodeProtocol},
		{"another nonce", introduction, func(*protocol.Hello) saga.Message { return &protocol.Hello{Nonce: fill('x')} }, saga.CodeProtocol},
		{"a saga", func(*protocol.Hello) saga.Message { return firstInit }, nil, saga.CodeProtocol},
		{"untrusted", introduction, func(*protocol.Hello) saga.Message { return &saga.Error{Code: saga.CodeUntrusted} }, saga.CodeUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, transports[0].listen)
			h.SetStreamHandler(protocol.ID, func(stream network.Stream) {
				defer stream.Close()
				for _, answer := range []func(*protocol.Hello) saga.Message{tt.first, tt.second} {
					frame, err := nextFrame(stream)
					if err != nil || answer == nil {
						return
					}
					m, err := protocol.Decode(frame)
					if err != nil {
						t.Error(err)
						return
					}
					hello, is := m.(*protocol.Hello)
					if !is {
						return
					}
					writeFrame(t, stream, answer(hello))
				}
			})
			m, err := protocol.Meet(testContext(t), newHost(t, transports[0].listen), infoOf(h), protocol.Self{Secret: secret}, protocol.Options{})
			if tt.code != 0 {
				wantCode(t, err, tt.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Proof == protocol.ProofGood {
				t.Error("the stranger is taken for a member")
			}
			_ = m.End(testContext(t))
		})
	}
}

func TestMeetingTakesNoForever(t *testing.T) {
	opts := quick
	opts.MeetTimeout = quick.StallTimeout
	g := newGreeter(t, transports[0].listen, protocol.Self{}, opts)
	stream := rawStream(t, newHost(t, transports[0].listen), g.host)
	writeFrame(t, stream, &protocol.Hello{Nonce: fill('i')})
	readHello(t, stream)
	if _, err := nextFrame(stream); err == nil {
		t.Error("the responder goes on though the initiator is silent")
	}

	h := newHost(t, transports[0].listen)
	released := make(chan struct{})
	h.SetStreamHandler(protocol.ID, func(stream network.Stream) { <-released; _ = stream.Reset() })
	t.Cleanup(func() { close(released) })
	_, err := protocol.Meet(testContext(t), newHost(t, transports[0].listen), infoOf(h), protocol.Self{}, opts)
	wantCode(t, err, saga.CodeTimeout)
}

// Hellos of strangers are answered so many times at once, whatever their peer id.
func TestHellosOfStrangersAreBounded(t *testing.T) {
	g := newGreeter(t, transports[0].listen, protocol.Self{}, protocol.Options{})
	answered, busy := 0, 0
	for range 5 {
		from := newHost(t, transports[0].listen)
		for range 10 {
			m, err := protocol.Meet(testContext(t), from, infoOf(g.host), protocol.Self{}, protocol.Options{})
			var e *saga.Error
			switch {
			case err == nil:
				answered++
				if err := m.End(testContext(t)); err != nil {
					t.Fatal(err)
				}
				await(t, "the meeting", g.met)
			case errors.As(err, &e) && e.Code == saga.CodeBusy && e.Retry:
				busy++
			}
		}
	}
	if answered < 32 || busy == 0 {
		t.Errorf("%d hellos answered, %d told to wait; want 32 and a few answered", answered, busy)
	}
}

// The meeting that SPEC.md shows is what both sides of this package say, byte
// for byte: each is put before the recorded part of the other.
func TestMeetingOfTheSpec(t *testing.T) {
	initiator, responder := keyOf(t, 1), keyOf(t, 2)
	secret := newSecret(t, secretText)
	ends := protocol.Ends{
		Initiator: idOf(t, initiator), Responder: idOf(t, responder),
		InitiatorNonce: fill('i'), ResponderNonce: fill('r'),
	}
	script := []struct {
		by      saga.Role
		message saga.Message
	}{
		{saga.Initiator, &protocol.Hello{Features: []string{"mesh-secret"}, Nonce: fill('i')}},
		{saga.Responder, &protocol.Hello{Features: []string{"mesh-secret"}, Nonce: fill('r')}},
		{saga.Initiator, &protocol.Hello{Nonce: fill('i'), MeshSecretProof: secret.Prove(saga.Initiator, ends)}},
		{saga.Responder, &protocol.Hello{Nonce: fill('r'), MeshSecretProof: secret.Prove(saga.Responder, ends)}},
	}
	// play speaks one side of the script and compares what the other side says.
	play := func(t *testing.T, as saga.Role, stream network.Stream) {
		t.Helper()
		for i, line := range script {
			if line.by == as {
				writeFrame(t, stream, line.message)
				continue
			}
			got, err := nextFrame(stream)
			if err != nil || !bytes.Equal(got, encode(t, line.message)) {
				t.Errorf("message %d is %x, %v; want %x", i, got, err, encode(t, line.message))
			}
		}
	}

	h := newHostOf(t, responder)
	played := make(chan struct{})
	h.SetStreamHandler(protocol.ID, func(stream network.Stream) {
		defer close(played)
		play(t, saga.Responder, stream)
		_ = stream.Close()
	})
	m, err := protocol.Meet(testContext(t), newHostOf(t, initiator), infoOf(h),
		protocol.Self{Secret: secret, Rand: bytes.NewReader(ends.InitiatorNonce[:])}, protocol.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Proof != protocol.ProofGood {
		t.Error("the proof of the script is no good")
	}
	if err := m.End(testContext(t)); err != nil {
		t.Error(err)
	}
	await(t, "the end of the script", played)

	serving := newHostOf(t, responder)
	serveOn(t, serving, protocol.Handlers{
		Authorize: everyone, Saga: unwanted(t), Meet: func(context.Context, *protocol.Meeting) {},
		Self: protocol.Self{Secret: secret, Rand: bytes.NewReader(ends.ResponderNonce[:])},
	}, protocol.Options{})
	stream := rawStream(t, newHostOf(t, initiator), serving)
	play(t, saga.Initiator, stream)
	_ = stream.Close()

	var dump strings.Builder
	fmt.Fprintf(&dump, "mesh secret: %s\ninitiator: %s\nresponder: %s\n", secretText, ends.Initiator, ends.Responder)
	for _, line := range script {
		names := []string{"initiator", "responder"}
		if line.by == saga.Responder {
			names[0], names[1] = names[1], names[0]
		}
		wire := encode(t, line.message)
		prefix := binary.AppendUvarint(nil, uint64(len(wire)))
		fmt.Fprintf(&dump, "%s to %s: %d bytes\n  %x  # length\n", names[0], names[1], len(prefix)+len(wire), prefix)
		annotate(&dump, wire, new(pb.Envelope).ProtoReflect().Descriptor(), "  ")
	}
	if *update {
		updateSpec(t, "meeting", dump.String())
	}
	if shown := shownInSpec(t, "meeting"); shown != dump.String() {
		t.Errorf("SPEC.md shows\n%s\nbut the meeting is\n%s\nrun the test with -update if that is meant", shown, dump.String())
	}
}

func keyOf(t *testing.T, seed byte) crypto.PrivKey {
	t.Helper()
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func idOf(t *testing.T, key crypto.PrivKey) peer.ID {
	t.Helper()
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newHostOf(t *testing.T, key crypto.PrivKey) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.Identity(key), libp2p.ListenAddrStrings(transports[0].listen), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func writeFrame(t testing.TB, w io.Writer, m saga.Message) {
	t.Helper()
	if _, err := w.Write(framed(encode(t, m))); err != nil {
		t.Error(err)
	}
}

func readHello(t testing.TB, stream io.Reader) *protocol.Hello {
	t.Helper()
	frame, err := nextFrame(stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := protocol.Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	h, is := m.(*protocol.Hello)
	if !is {
		t.Fatalf("received %#v, want a hello", m)
	}
	return h
}

// nextFrame reads one frame.
func nextFrame(r io.Reader) ([]byte, error) {
	size, err := binary.ReadUvarint(oneByte{r})
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(r, b)
	return b, err
}

// oneByte reads single bytes without reading on.
type oneByte struct{ io.Reader }

func (o oneByte) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(o.Reader, b[:])
	return b[0], err
}
