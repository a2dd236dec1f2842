package saga

import (
	"context"
	"errors"
	"io"
	"sync"
)

// ErrPipeAborted is what both ends of a pipe see after Abort.
var ErrPipeAborted = errors.New("saga: the pipe was aborted")

// Pipe returns the two ends of a connection in memory, which keeps up to
// capacity bytes each way. As with a socket, Send waits while there is no room;
// a message larger than capacity waits until it has been received. Messages are
// handed over as they are, without encoding.
func Pipe(capacity int) (Conn, Conn) {
	ab, ba := newLane(capacity), newLane(capacity)
	return &pipeEnd{out: ab, in: ba}, &pipeEnd{out: ba, in: ab}
}

type pipeEnd struct{ out, in *lane }

func (p *pipeEnd) Send(ctx context.Context, m Message) (Receipt, error) {
	r := receiptOf(m)
	return r, p.out.send(ctx, packet{m, r})
}

func (p *pipeEnd) Receive(ctx context.Context) (Message, Receipt, error) {
	got, err := p.in.receive(ctx)
	return got.message, got.receipt, err
}

// Close lets the other end receive what was sent, and then io.EOF.
func (p *pipeEnd) Close() error {
	p.out.end(io.ErrClosedPipe, io.EOF, false)
	p.in.end(io.ErrClosedPipe, io.ErrClosedPipe, true)
	return nil
}

func (p *pipeEnd) Abort() {
	p.out.end(ErrPipeAborted, ErrPipeAborted, true)
	p.in.end(ErrPipeAborted, ErrPipeAborted, true)
}

type packet struct {
	message Message
	receipt Receipt
}

// lane is one direction of a pipe.
type lane struct {
	capacity int

	mu      sync.Mutex
	packets []packet
	bytes   int
	taken   int           // packets received so far
	put     int           // packets sent so far
	changed chan struct{} // closed and replaced on every change

	sendErr, receiveErr error // after the end; receiveErr once packets is empty
}

func newLane(capacity int) *lane {
	return &lane{capacity: capacity, changed: make(chan struct{})}
}

func (l *lane) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// wait calls f with the lane locked until f reports that it is done.
func (l *lane) wait(ctx context.Context, f func() (done bool, err error)) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.mu.Lock()
		done, err := f()
		changed := l.changed
		l.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (l *lane) send(ctx context.Context, p packet) error {
	number := -1
	return l.wait(ctx, func() (bool, error) {
		switch {
		case number >= 0 && l.taken >= number:
			return true, nil
		case l.sendErr != nil:
			return false, l.sendErr
		case number < 0:
			if l.bytes > 0 && l.bytes+p.receipt.Bytes > l.capacity {
				return false, nil
			}
			l.packets = append(l.packets, p)
			l.bytes += p.receipt.Bytes
			l.put++
			number = l.put
			l.wake()
		}
		return p.receipt.Bytes <= l.capacity, nil
	})
}

func (l *lane) receive(ctx context.Context) (got packet, err error) {
	err = l.wait(ctx, func() (bool, error) {
		if len(l.packets) == 0 {
			return false, l.receiveErr
		}
		got = l.packets[0]
		l.packets = l.packets[1:]
		l.bytes -= got.receipt.Bytes
		l.taken++
		l.wake()
		return true, nil
	})
	return got, err
}

// end makes Send, and Receive when there is nothing left, return errors. The
// first end counts.
func (l *lane) end(sendErr, receiveErr error, drop bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sendErr == nil {
		l.sendErr = sendErr
	}
	if l.receiveErr == nil {
		l.receiveErr = receiveErr
	}
	if drop {
		l.packets, l.bytes = nil, 0
	}
	l.wake()
}
