package keystone

import (
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Ib is the ib of every frame of a keystone.
const Ib = "keystone"

// Names of rel8n lists and data members that the rules read.
const (
	relAncestor = "ancestor"
	relPast     = "past"
	relTjp      = "tjp"

	memberN          = "n"
	memberUUID       = "uuid"
	memberIsTjp      = "isTjp"
	memberPools      = "challengePools"
	memberProofs     = "proofs"
	memberRevocation = "revocationInfo"
	memberDetails    = "frameDetails"
)

// root returns keystone^gib, the ancestor of every keystone.
func root() ibgib.Addr {
	a, _ := ibgib.ParseAddr(Ib + "^gib")
	return a
}

// Data is the data of one frame, taken apart. Treat it as immutable.
type Data struct {
	N          int
	UUID       string
	At         time.Time // UTC, to the millisecond
	Pools      []Pool
	Proofs     []Proof     // none in the first frame, one in every other
	Revocation *Revocation // nil unless the frame ends the keystone
	Details    ibgib.Value // frameDetails; absent for none

	all ibgib.Value // as it was written
}

// Parse takes a frame apart. It looks at form and limits only: that the frame is
// authorised is for [History] and [Validate] to find out. The error is an *Invalid.
func Parse(g ibgib.IbGib) (Data, error) {
	found := findings{frame: g.Addr()}
	d, _ := found.data(g)
	return d, found.err()
}

// Value returns the data as it stands in the frame, member for member.
func (d Data) Value() ibgib.Value {
	pools := make([]ibgib.Value, len(d.Pools))
	for i, p := range d.Pools {
		pools[i] = p.Value()
	}
	proofs := make([]ibgib.Value, len(d.Proofs))
	for i, p := range d.Proofs {
		proofs[i] = p.Value()
	}
	var revocation ibgib.Value
	if d.Revocation != nil {
		revocation = d.Revocation.Value()
	}
	return with(d.all,
		ibgib.Member{Name: memberPools, Value: ibgib.Array(pools...)},
		ibgib.Member{Name: memberProofs, Value: ibgib.Array(proofs...)},
		ibgib.Member{Name: memberRevocation, Value: revocation},
		ibgib.Member{Name: memberDetails, Value: d.Details},
	)
}

// with sets members of an object; an absent value removes one.
func with(v ibgib.Value, members ...ibgib.Member) ibgib.Value {
	for _, m := range members {
		if m.Value.Kind() == ibgib.KindAbsent {
			v = v.Without(m.Name)
		} else {
			v = v.With(m.Name, m.Value)
		}
	}
	return v
}

// data reads the data of a frame. ok is false if its pools cannot be relied on,
// so that no frame can be judged by it.
func (f *findings) data(g ibgib.IbGib) (d Data, ok bool) {
	d.all = g.Data()
	if d.all.Kind() != ibgib.KindObject {
		f.add(RuleForm, spot{}, "the data is no object: %s", shown(d.all))
		return d, false
	}
	n, _ := d.all.Get(memberN)
	if x := n.Number(); n.Kind() == ibgib.KindNumber && x >= 0 && x <= MaxIDs && x == float64(int(x)) {
		d.N = int(x)
	} else {
		f.add(RuleN, spot{}, "n is %s", shown(n))
	}
	stamp, readable := ibgib.StampOf(g)
	if !readable || stamp.NoMs {
		date, _ := d.all.Get("timestamp")
		ms, _ := d.all.Get("timestampMs")
		f.add(RuleTime, spot{}, "timestamp %s, timestampMs %s", shown(date), shown(ms))
	}
	d.At = stamp.At
	uuid, _ := d.all.Get(memberUUID)
	if d.UUID = uuid.Str(); !isHex(d.UUID, 64) {
		f.add(RuleUUID, spot{}, "uuid is not 64 lower-case hex digits: %s", shown(uuid))
	}
	pools, _ := d.all.Get(memberPools)
	d.Pools, ok = f.pools(pools)
	d.Proofs = f.proofs(d.all)
	if v, has := d.all.Get(memberRevocation); has {
		d.Revocation = f.revocation(v)
	}
	d.Details, _ = d.all.Get(memberDetails)
	return d, ok
}

func (f *findings) proofs(data ibgib.Value) []Proof {
	v, _ := data.Get(memberProofs)
	if v.Kind() != ibgib.KindArray {
		f.add(RuleForm, spot{}, "proofs is no list: %s", shown(v))
		return nil
	}
	if n := len(v.Items()); n > 1 {
		f.add(RuleSeveralProofs, spot{}, "%d proofs", n)
		return nil
	}
	var list []Proof
	for _, item := range v.Items() {
		list = append(list, f.proof(item, "proof"))
	}
	return list
}
