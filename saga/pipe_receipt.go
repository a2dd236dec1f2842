package saga

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/timeline"
)

// receiptOf digests a message that is not encoded: every member in the order of
// the type, numbers as 8 big-endian bytes, lists and texts after their length.
// It is not the digest that the message has on the wire.
func receiptOf(m Message) Receipt {
	d := digester{sum: sha256.New()}
	id := m.SagaID()
	d.text(fmt.Sprintf("%T", m))
	d.raw(id[:])
	switch m := m.(type) {
	case *Init:
		d.texts(m.Features)
		d.number(uint64(m.Mode))
		d.number(uint64(m.Strategy))
		d.texts(m.Shares)
		d.hashes(m.Roots)
		d.raw(m.Fingerprint[:])
		d.number(m.Count)
		d.flag(m.Cursor != nil)
		if m.Cursor != nil {
			d.raw(m.Cursor.Epoch[:])
			d.number(m.Cursor.Sequence)
		}
		d.entries(m.Entries)
		d.flag(m.Complete)
		d.flag(m.Fresh)
		d.number(m.Credit)
		d.hashes(m.Forgotten)
		d.raw(m.Without[:])
	case *Ack:
		d.texts(m.Features)
		d.number(uint64(m.Mode))
		d.number(uint64(m.Strategy))
		d.flag(m.Equal)
		d.raw(m.Fingerprint[:])
		d.number(m.Count)
		d.entries(m.Entries)
		d.flag(m.NeedEntries)
		d.wants(m.Wants)
		d.flag(m.More)
		d.flag(m.Fresh)
		d.number(m.Credit)
		d.hashes(m.Forgotten)
	case *Delta:
		d.entries(m.Entries)
		d.flag(m.EntriesDone)
		d.wants(m.Wants)
		d.flag(m.WantsDone)
		d.hashes(m.Offers)
		d.flag(m.Answer != nil)
		if m.Answer != nil {
			d.number(uint64(m.Answer.Count))
			d.text(string(m.Answer.Lacks))
		}
		d.items(m.Items)
		d.number(m.Credit)
		d.flag(m.Done)
	case *Commit:
		d.raw(m.Digest[:])
		d.number(m.Count)
		d.number(m.Received.IbGibs)
		d.number(m.Received.Bytes)
		d.hashes(m.Conflicts)
		d.hashes(m.Aborted)
		d.number(m.Refused)
		for _, r := range m.Refusals {
			d.raw(r.Hash[:])
			d.text(string(r.Rule))
			d.text(r.Detail)
		}
		d.number(m.LastSeq)
		d.raw(m.StoreEpoch[:])
	case *Seal:
		d.text(string(m.Frame))
	case *Error:
		d.number(uint64(m.Code))
		d.text(m.Text)
		d.flag(m.Retry)
		d.text(m.Reason)
	}
	r := Receipt{Bytes: d.bytes}
	d.sum.Sum(r.Digest[:0])
	return r
}

type digester struct {
	sum   hash.Hash
	bytes int
}

func (d *digester) raw(b []byte) {
	d.sum.Write(b)
	d.bytes += len(b)
}

func (d *digester) number(n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	d.raw(b[:])
}

func (d *digester) flag(b bool) {
	if b {
		d.raw([]byte{1})
	} else {
		d.raw([]byte{0})
	}
}

func (d *digester) text(s string) {
	d.number(uint64(len(s)))
	d.raw([]byte(s))
}

func (d *digester) texts(list []string) {
	d.number(uint64(len(list)))
	for _, s := range list {
		d.text(s)
	}
}

func (d *digester) hashes(list []ibgib.Hash) {
	d.number(uint64(len(list)))
	for i := range list {
		d.raw(list[i][:])
	}
}

func (d *digester) entries(list []timeline.Entry) {
	d.number(uint64(len(list)))
	for _, e := range list {
		d.raw(e.Root[:])
		d.hashes(e.Heads)
	}
}

func (d *digester) wants(list []Want) {
	d.number(uint64(len(list)))
	for _, w := range list {
		d.raw(w.Root[:])
		d.hashes(w.Heads)
		d.hashes(w.Known)
	}
}

func (d *digester) items(list []Item) {
	d.number(uint64(len(list)))
	for _, it := range list {
		d.number(uint64(it.Form))
		d.number(uint64(len(it.Bytes)))
		d.raw(it.Bytes)
		if it.Form == FormChunk {
			d.raw(it.Hash[:])
			d.number(it.Offset)
			d.number(it.Total)
		}
		if x := it.Derived; x != nil {
			d.text(x.Addr)
			d.raw(x.Predecessor[:])
			d.raw(x.Dna[:])
			d.number(uint64(x.Time))
			d.flag(x.HasMillis)
		}
	}
}
