package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// FetchID is the libp2p protocol id on which blocks are asked for by exact address.
const FetchID = "/ibgib/fetch/1"

// A Fetching is a stream on which one peer is asked for blocks of the closure of one
// address. It is for one goroutine, but Abort may be called from any.
type Fetching struct {
	conn   *Conn
	target ibgib.Hash
}

// OpenFetch connects to a peer, if h is not connected to it yet, and opens a stream to
// ask it for what target reaches. Errors are *saga.Error, as of Dial.
func OpenFetch(ctx context.Context, h host.Host, to peer.AddrInfo, target ibgib.Hash, opts Options) (*Fetching, error) {
	conn, err := dial(ctx, h, to, FetchID, opts)
	if err != nil {
		return nil, err
	}
	return &Fetching{conn: conn, target: target}, nil
}

// Peer returns the peer that is asked.
func (f *Fetching) Peer() peer.ID { return f.conn.Peer() }

// Abort ends the stream.
func (f *Fetching) Abort() { f.conn.Abort() }

// FetchReply is the answer to one question. What was asked for and is in neither list
// did not fit.
type FetchReply struct {
	Blocks []ibgib.IbGib // each of those that were asked for, once, with the right hash
	Absent []ibgib.Hash  // of those that were asked for; the peer does not show them
	Ahead  []ibgib.Hash  // a claim: further blocks of the closure
	Bytes  int           // of the messages
}

// Ask asks for 1 to MaxFetchWants blocks, and waits for the answer: for its beginning
// as long as Options.IdleTimeout. A peer that answers with something else than what it
// was asked for (other bytes, more, nothing) is a *saga.Error with CodeProtocol that is
// not Remote. All other errors are *saga.Error too, but those of piece. This function, which
// may be nil, is told of each piece of a large block but the last; its error is returned at
// once.
func (f *Fetching) Ask(ctx context.Context, wants []ibgib.Hash, ahead bool, piece func(of ibgib.Hash) error) (FetchReply, error) {
	if _, err := f.conn.Send(ctx, &Fetch{Target: f.target, Wants: wants, Ahead: ahead}); err != nil {
		return FetchReply{}, err
	}
	r := fetchReader{open: make(map[ibgib.Hash]bool, len(wants))}
	for _, h := range wants {
		r.open[h] = true
	}
	for {
		m, receipt, err := f.conn.Receive(ctx)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = &saga.Error{Code: saga.CodeUnreachable, Text: "the peer ended the stream", Retry: true, Err: err}
			}
			return FetchReply{}, err
		}
		r.reply.Bytes += receipt.Bytes
		switch m := m.(type) {
		case *Fetched:
			if done, err := r.take(m); err != nil || done {
				return r.reply, err
			}
			if piece != nil {
				if err := piece(r.of); err != nil {
					return FetchReply{}, err
				}
			}
		case *saga.Error:
			return FetchReply{}, m
		default:
			return FetchReply{}, misfit("something else than an answer")
		}
	}
}

func misfit(format string, args ...any) *saga.Error {
	return &saga.Error{Code: saga.CodeProtocol, Text: "the peer answers with " + fmt.Sprintf(format, args...)}
}

// fetchReader puts the messages of one answer together.
type fetchReader struct {
	open  map[ibgib.Hash]bool // asked for, not yet answered
	reply FetchReply
	large []byte     // of a block that comes in chunks
	of    ibgib.Hash // that block
	total uint64
}

// take takes one message; done says that the answer is whole.
func (r *fetchReader) take(m *Fetched) (done bool, err error) {
	if r.large != nil && (len(m.Items) != 1 || m.Items[0].Form != saga.FormChunk || len(m.Absent) > 0) {
		return false, misfit("something else than the next chunk")
	}
	for i, it := range m.Items {
		switch it.Form {
		case saga.FormFull:
			err = r.block(it.Bytes)
		case saga.FormChunk:
			if len(m.Items) > 1 {
				return false, misfit("chunk %d among other items", i)
			}
			err = r.chunk(it)
		default:
			err = misfit("an item of another form")
		}
		if err != nil {
			return false, err
		}
	}
	for _, h := range m.Absent {
		if !r.open[h] {
			return false, misfit("a word about a block that was not asked for")
		}
		delete(r.open, h)
	}
	r.reply.Absent = append(r.reply.Absent, m.Absent...)
	if len(m.Ahead) > 0 {
		r.reply.Ahead = m.Ahead
	}
	if r.large != nil {
		return false, nil
	}
	if len(r.reply.Blocks)+len(r.reply.Absent) == 0 {
		return false, misfit("nothing")
	}
	return true, nil
}

// block takes the whole stored form of a block.
func (r *fetchReader) block(stored []byte) error {
	g, err := ibgib.Verify(stored)
	if err != nil {
		return misfit("what is no ibGib: %v", err)
	}
	if !r.open[g.Hash()] {
		return misfit("a block that was not asked for")
	}
	delete(r.open, g.Hash())
	r.reply.Blocks = append(r.reply.Blocks, g)
	return nil
}

// chunk takes a piece of a large block. Memory grows with what has come.
func (r *fetchReader) chunk(it saga.Item) error {
	if r.large == nil {
		if !r.open[it.Hash] || it.Offset != 0 || it.Total <= saga.MaxItem {
			return misfit("a chunk that was not asked for")
		}
		r.of, r.total = it.Hash, it.Total
	} else if it.Hash != r.of || it.Total != r.total {
		return misfit("a chunk of another block")
	}
	want := min(saga.MaxItem, r.total-uint64(len(r.large)))
	if it.Offset != uint64(len(r.large)) || uint64(len(it.Bytes)) != want {
		return misfit("a chunk out of order")
	}
	r.large = append(r.large, it.Bytes...)
	if uint64(len(r.large)) < r.total {
		return nil
	}
	stored := r.large
	r.large = nil
	return r.block(stored)
}
