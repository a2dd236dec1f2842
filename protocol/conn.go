package protocol

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ibgib/ibgib-node/saga"
)

// maxDrain bounds what is read and dropped while the other side takes an error
// message, in bytes.
const maxDrain = 8 << 20

// keepBuffer bounds the send buffer kept between messages, in bytes.
const keepBuffer = 512 << 10

// Conn is a saga's connection: length-prefixed messages on one libp2p stream.
// It is a saga.Conn, and all its methods may be called from any goroutine: one
// Send and one Receive go on at a time. Abort and Close end those under way
// within the close timeout.
//
// All its errors but io.EOF are *saga.Error: timeout, unreachable (the stream
// was cut or reset), canceled, unsupported (the peer does not speak the
// protocol), or what Encode and Decode find. After any of them the connection
// is of no use but for Abort.
type Conn struct {
	stream network.Stream
	opts   Options
	valve  *valve        // slows it down; nil: nothing does
	ending chan struct{} // closed when Close or Abort has begun

	sending sync.Mutex // held while enc is used: one message at a time is written
	enc     coder

	receiving sync.Mutex // held while what follows is used
	in        *bufio.Reader
	most      uint64    // bytes of a message that comes in
	first     *received // read by the service, not yet by Receive
	ended     bool      // the other side has closed in good order

	mu       sync.Mutex
	told     time.Time // when an error message was sent, if one was
	deadline time.Time // no read or write may last longer, if set
	done     bool      // Close or Abort has begun
}

var _ saga.Conn = (*Conn)(nil)

// received is a message as Receive returns it.
type received struct {
	message saga.Message
	receipt saga.Receipt
}

// newConn makes a connection of a stream; opts have their defaults.
func newConn(stream network.Stream, opts Options) *Conn {
	return &Conn{
		stream: stream, opts: opts,
		valve: opts.Throttle.open(stream.Conn()), ending: make(chan struct{}),
		in: bufio.NewReader(stream), most: MaxMessage,
	}
}

// meet gives what goes on from here the limits of a meeting.
func (c *Conn) meet() {
	c.limit(MaxHello)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = time.Now().Add(c.opts.MeetTimeout)
}

// trust lets messages come in that are larger than those of a stranger may be.
func (c *Conn) trust() { c.limit(MaxMessage) }

// limit bounds the messages that come in from here, in bytes.
func (c *Conn) limit(most uint64) {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	c.most = most
}

// Peer returns the peer at the other end, proven by the secured channel.
func (c *Conn) Peer() peer.ID { return c.stream.Conn().RemotePeer() }

// Send writes one message.
func (c *Conn) Send(ctx context.Context, m saga.Message) (saga.Receipt, error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := c.enc.encode(m, true); err != nil {
		return saga.Receipt{}, err
	}
	frame := c.enc.out
	if cap(frame) > keepBuffer {
		c.enc.out = nil
	}
	_, prefix := protowire.ConsumeVarint(frame)

	c.valve.up(ctx, c.ending, len(frame))
	defer c.bound(ctx, c.stream.SetWriteDeadline, c.timeFor(len(frame)))()
	if _, err := c.stream.Write(frame); err != nil {
		return saga.Receipt{}, c.failure(ctx.Err(), "sending", err)
	}
	if _, is := m.(*saga.Error); is {
		c.mu.Lock()
		c.told = time.Now()
		c.mu.Unlock()
	}
	return saga.Receipt{Digest: sha256.Sum256(frame[prefix:]), Bytes: len(frame)}, nil
}

// Receive reads one message. Its payload is the message's own memory.
func (c *Conn) Receive(ctx context.Context) (saga.Message, saga.Receipt, error) {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	if c.first != nil {
		r := c.first
		c.first = nil
		return r.message, r.receipt, nil
	}
	r, err := c.receive(ctx, c.opts.IdleTimeout)
	return r.message, r.receipt, err
}

// receive does what Receive does, with c.receiving held, if the message begins
// within idle.
func (c *Conn) receive(ctx context.Context, idle time.Duration) (received, error) {
	if c.ended {
		return received{}, io.EOF
	}
	size, prefix, err := c.receiveLength(ctx, idle)
	if err != nil {
		return received{}, err
	}
	c.valve.down(ctx, c.ending, prefix+size)
	defer c.bound(ctx, c.stream.SetReadDeadline, c.timeFor(size))()
	b := make([]byte, size)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return received{}, c.failure(ctx.Err(), "receiving", cut(err))
	}
	m, err := Decode(b)
	if err != nil {
		return received{}, err
	}
	if e, is := m.(*saga.Error); is {
		e.Remote = true
	}
	return received{m, saga.Receipt{Digest: sha256.Sum256(b), Bytes: prefix + size}}, nil
}

// receiveLength reads the length prefix of the next message: its value and its
// own size.
func (c *Conn) receiveLength(ctx context.Context, idle time.Duration) (size, prefix int, err error) {
	defer c.bound(ctx, c.stream.SetReadDeadline, idle)()
	var n uint64
	for {
		b, err := c.in.ReadByte()
		switch {
		case err == io.EOF && prefix == 0:
			c.ended = true
			return 0, 0, io.EOF
		case err != nil:
			return 0, 0, c.failure(ctx.Err(), "receiving", cut(err))
		}
		n |= uint64(b&0x7f) << (7 * prefix)
		prefix++
		switch {
		case b == 0:
			return 0, 0, &saga.Error{Code: saga.CodeProtocol, Text: "a message's length is zero, or longer than it need be"}
		case n > c.most || prefix == maxLengthPrefix && b >= 0x80:
			return 0, 0, &saga.Error{Code: saga.CodeLimit, Text: "a message is too long"}
		case b < 0x80:
			return int(n), prefix, nil
		}
	}
}

// cut turns the end of the stream inside a message into an error of its own.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// timeFor returns how long a message of n bytes may take.
func (c *Conn) timeFor(n int) time.Duration {
	return c.opts.StallTimeout + time.Duration(n)*time.Second/MinRate
}

// bound gives the reads or writes that follow, for which set sets the deadline,
// this much time, and less if ctx ends. The returned function must be called
// after them.
func (c *Conn) bound(ctx context.Context, set func(time.Time) error, d time.Duration) (release func()) {
	limit := time.Now().Add(d)
	c.mu.Lock()
	if !c.deadline.IsZero() && c.deadline.Before(limit) {
		limit = c.deadline
	}
	_ = set(limit) // a stream that is gone fails at the next read or write
	c.mu.Unlock()

	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = set(time.Unix(1, 0))
		close(fired)
	})
	return func() {
		if !stop() {
			<-fired
		}
	}
}

// failure says what an error of the stream means, with the error of the
// caller's context, if any.
func (c *Conn) failure(stopped error, doing string, err error) *saga.Error {
	e := &saga.Error{Code: saga.CodeUnreachable, Retry: true, Err: err}
	var timeout net.Error
	switch {
	case errors.Is(stopped, context.DeadlineExceeded):
		e.Code, e.Text, e.Err = saga.CodeTimeout, doing+" took too long", stopped
	case stopped != nil:
		e.Code, e.Text, e.Err = saga.CodeCanceled, doing+" was canceled", stopped
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Code, e.Text = saga.CodeTimeout, "no progress in "+doing
	case errors.Is(err, multistream.ErrNotSupported[protocol.ID]{}):
		e.Code, e.Text, e.Retry = saga.CodeUnsupported, unspoken(err), false
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Text = "the stream ended inside a message"
	default:
		e.Text = "the connection was lost while " + doing
	}
	return e
}

// end begins Close or Abort: what is under way and what follows may last until
// the close timeout at most. It returns whether it was the first, and whether
// an error message has been sent.
func (c *Conn) end() (first, told bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told = !c.told.IsZero()
	if c.done {
		return false, told
	}
	c.done = true
	close(c.ending)
	c.valve.close()
	c.deadline = time.Now().Add(c.opts.CloseTimeout)
	if told {
		c.deadline = c.told.Add(c.opts.CloseTimeout)
	}
	_ = c.stream.SetReadDeadline(c.deadline)
	_ = c.stream.SetWriteDeadline(c.deadline)
	return true, told
}

// hearEnd says that nothing more will be sent and waits for the end of the other side. An
// error that it sends instead is returned.
func (c *Conn) hearEnd(ctx context.Context) error {
	if err := c.stream.CloseWrite(); err != nil {
		return c.failure(nil, "closing", err)
	}
	m, _, err := c.Receive(ctx)
	switch {
	case err == io.EOF:
		return nil
	case err != nil:
		return err
	}
	if told, is := m.(*saga.Error); is {
		return told
	}
	return &saga.Error{Code: saga.CodeProtocol, Text: "a message after the last"}
}

// Close says that nothing more will be sent and waits until the other side has
// said so too. Anything else that it sends is an error, unless this side has
// sent an error message: then it is dropped. Only the first of Close and Abort
// does anything.
func (c *Conn) Close() error {
	first, told := c.end()
	if !first {
		return nil
	}
	if err := c.close(told); err != nil {
		_ = c.stream.Reset()
		return err
	}
	return nil
}

// close does what Close does; all its waits end at c.deadline.
func (c *Conn) close(drop bool) error {
	if err := c.stream.CloseWrite(); err != nil {
		return c.failure(nil, "closing", err)
	}
	c.receiving.Lock()
	defer c.receiving.Unlock()
	if c.ended {
		return c.stream.Close()
	}
	most := int64(1)
	if drop {
		most = maxDrain
	}
	n, err := io.CopyN(io.Discard, c.in, most)
	switch {
	case n > 0 && !drop:
		return &saga.Error{Code: saga.CodeProtocol, Text: "bytes after the saga's last message"}
	case err == nil:
		return &saga.Error{Code: saga.CodeLimit, Text: "the peer goes on sending after an error"}
	case err != io.EOF:
		return c.failure(nil, "closing", err)
	}
	return c.stream.Close()
}

// Abort ends the connection. If an error message has been sent, it first waits,
// at most for the close timeout, until the other side has taken it: a reset
// might overtake it.
func (c *Conn) Abort() {
	first, told := c.end()
	if !first {
		return
	}
	if !told || c.close(true) != nil {
		_ = c.stream.Reset()
	}
}
