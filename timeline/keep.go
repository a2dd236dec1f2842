package timeline

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// ErrCannotKeep is wrapped by the errors of Keep that are about the kept head:
// it cannot be the predecessor of a keep frame.
var ErrCannotKeep = errors.New("this head cannot be kept by a keep frame")

// Keep makes the frame by which a person resolves a divergence: it follows kept
// and has its state, and lists the other heads, which so become history. heads
// are all heads of the timeline, in any order; kept is one of them, or their merge
// frame, to accept the merge. at is the time of the frame, to the millisecond. dna
// is its dna record, which has to be stored with it. Admit lets it in.
//
// A head whose data is no object cannot be kept, since it cannot bear a time. Other
// errors are those of the gate.
func Keep(kept ibgib.IbGib, heads []Frame, at time.Time) (frame, dna ibgib.IbGib, err error) {
	frame, err = keepFrame(kept, heads, at)
	if err == nil {
		dna, err = keepDna()
	}
	if err != nil {
		return ibgib.IbGib{}, ibgib.IbGib{}, fmt.Errorf("timeline: keep %s: %w", shown(kept.Addr()), err)
	}
	return frame, dna, nil
}

func keepFrame(kept ibgib.IbGib, heads []Frame, at time.Time) (ibgib.IbGib, error) {
	var tjp ibgib.Addr
	var others []ibgib.Addr
	n := int64(-1)
	for _, f := range heads {
		if f.Addr != kept.Addr() {
			others = append(others, f.Addr)
		}
		tjp, n = f.Tjp, max(n, f.order())
	}
	slices.SortFunc(others, ibgib.CompareAddr)
	if len(others) == len(heads) {
		merged := append(kept.Rel(relPast), kept.Rel(RelMerge)...)
		slices.SortFunc(merged, ibgib.CompareAddr)
		if !slices.Equal(merged, others) {
			return ibgib.IbGib{}, fmt.Errorf("%w: it is neither one of the %d heads nor their merge frame", ErrCannotKeep, len(heads))
		}
		if n >= 0 {
			n++ // the merge frame's
		}
	}
	switch {
	case len(others) == 0:
		return ibgib.IbGib{}, fmt.Errorf("%w: there is no other head", ErrCannotKeep)
	case n >= maxN:
		return ibgib.IbGib{}, fmt.Errorf("%w: n cannot grow beyond %d", ErrCannotKeep, n)
	}
	data := kept.Data()
	if _, isBytes := kept.Bytes(); isBytes || data.Kind() != ibgib.KindObject && data.Kind() != ibgib.KindAbsent {
		return ibgib.IbGib{}, fmt.Errorf("%w: its data is no object and cannot bear a time", ErrCannotKeep)
	}
	data = data.Without(memberIsTjp).Without(memberN)
	if n >= 0 {
		data = data.With(memberN, ibgib.Number(float64(n+1)))
	}
	data = ibgib.Stamp{At: at}.On(data)

	dna, err := ibgib.ParseAddr(KeepDna)
	if err != nil {
		return ibgib.IbGib{}, err
	}
	rel8ns := stateRel8ns(kept).
		With(relPast, []ibgib.Addr{kept.Addr()}).
		With(relTjp, []ibgib.Addr{tjp}).
		With(relDna, []ibgib.Addr{dna}).
		With(RelMerge, others)
	return ibgib.New(kept.Ib(), data, rel8ns)
}

// keepDna returns the record whose address is KeepDna.
func keepDna() (ibgib.IbGib, error) {
	ancestor, err := ibgib.ParseAddr("keep^gib")
	if err != nil {
		return ibgib.IbGib{}, err
	}
	return ibgib.New("keep",
		ibgib.Object(ibgib.Member{Name: "type", Value: ibgib.String("keep")}),
		ibgib.Rel8ns{{Name: relAncestor, Addrs: []ibgib.Addr{ancestor}}})
}
