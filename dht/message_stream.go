package dht

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// The library makes room for a message as soon as its length has come, up to 4 MiB, and
// waits for the rest. So what a peer may have it hold is bounded before it sees the
// length.
const (
	// maxRequest bounds a question: an announcement has 8 KiB at most.
	maxRequest = 32 << 10
	// maxAnswer bounds an answer of an ibGib node, maxPublicAnswer that of one of the
	// public DHT, which may name any number of providers.
	maxAnswer       = 1 << 20
	maxPublicAnswer = network.MessageSizeMax
	// maxUncounted is the longest message that is not counted as memory of the
	// resource manager; so questions are taken when others have used that up.
	maxUncounted = 4 << 10
	// messageTime is how long a message may take from its first byte to its last.
	messageTime = 10 * time.Second
)

// messageStream is a stream of messages, each after its length as a varint. It refuses
// those that are longer than max, and counts the others as memory of the stream while
// they come or go.
type messageStream struct {
	network.Stream
	max uint64

	// Of the message that is being read.
	length  uint64 // as far as its bytes have come
	shift   uint   // bits of length that have come; 0 between messages
	left    uint64 // bytes that have to come yet
	counted int    // as memory
}

// Read returns no byte of a length that is too big.
func (s *messageStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		if s.left > 0 {
			some := min(s.left, uint64(len(rest)))
			rest = rest[some:]
			s.took(some)
			continue
		}
		if refused := s.lengthByte(rest[0]); refused != nil {
			_ = s.Reset()
			return 0, refused
		}
		rest = rest[1:]
	}
	return n, err
}

// lengthByte reads the next byte of a length.
func (s *messageStream) lengthByte(b byte) error {
	if s.shift == 0 {
		// A stream of a network has deadlines; without one the library's own hold.
		_ = s.SetReadDeadline(time.Now().Add(messageTime))
	}
	if s.shift > 56 {
		return fmt.Errorf("dht: length of a message of %s: more than 9 bytes", s.Conn().RemotePeer())
	}
	s.length |= uint64(b&0x7f) << s.shift
	s.shift += 7
	if s.length > s.max {
		return fmt.Errorf("dht: message of %s: more than %d bytes", s.Conn().RemotePeer(), s.max)
	}
	if b&0x80 != 0 {
		return nil
	}
	if s.length > maxUncounted {
		if err := s.Scope().ReserveMemory(int(s.length), network.ReservationPriorityMedium); err != nil {
			return fmt.Errorf("dht: message of %s: %w", s.Conn().RemotePeer(), err)
		}
		s.counted = int(s.length)
	}
	s.left = s.length
	s.took(0)
	return nil
}

// took notes that bytes of the message have come.
func (s *messageStream) took(n uint64) {
	if s.left -= n; s.left > 0 {
		return
	}
	s.Scope().ReleaseMemory(s.counted)
	s.length, s.shift, s.counted = 0, 0, 0
	_ = s.SetReadDeadline(time.Time{})
}

// Write counts what is written while the other side takes it, for which it has a bounded
// time.
func (s *messageStream) Write(p []byte) (int, error) {
	_ = s.SetWriteDeadline(time.Now().Add(messageTime))
	if len(p) > maxUncounted {
		if err := s.Scope().ReserveMemory(len(p), network.ReservationPriorityMedium); err != nil {
			return 0, fmt.Errorf("dht: message to %s: %w", s.Conn().RemotePeer(), err)
		}
		defer s.Scope().ReleaseMemory(len(p))
	}
	return s.Stream.Write(p)
}
