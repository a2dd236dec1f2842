package keystone

import (
	"github.com/ibgib/ibgib-node/ibgib"
)

// Claim is what a frame says about a target.
type Claim struct {
	Target ibgib.Addr
	Verb   string
	Scope  string // free text; upstream's are addresses; empty for none

	layout layout
}

// Value returns the claim as it stands in a proof.
func (c Claim) Value() ibgib.Value {
	fields := []ibgib.Member{
		{Name: "target"}, {Name: "verb"}, {Name: "scope"},
	}
	if !c.Target.IsZero() {
		fields[0].Value = ibgib.String(c.Target.String())
	}
	if c.Verb != "" {
		fields[1].Value = ibgib.String(c.Verb)
	}
	if c.Scope != "" {
		fields[2].Value = ibgib.String(c.Scope)
	}
	return c.layout.object(fields...)
}

// Says reports whether target and verb are these.
func (c Claim) Says(verb string, target ibgib.Addr) bool {
	return c.Verb == verb && c.Target == target && !target.IsZero()
}

// Solution shows the solution of one challenge.
type Solution struct {
	Pool  string
	ID    ChallengeID
	Value string // lower-case hex
}

// Proof proves a claim by solutions of challenges that the frame before
// published.
type Proof struct {
	Claim     Claim
	Solutions []Solution
	Demands   []ChallengeID // challenges that whoever asked for the proof wanted solved

	layout layout
}

// Value returns the proof as it stands in a frame.
func (p Proof) Value() ibgib.Value {
	solutions := make([]ibgib.Value, len(p.Solutions))
	for i, s := range p.Solutions {
		solutions[i] = ibgib.Object(
			ibgib.Member{Name: "type", Value: ibgib.String(strategyType)},
			ibgib.Member{Name: "poolId", Value: ibgib.String(s.Pool)},
			ibgib.Member{Name: "challengeId", Value: ibgib.String(s.ID.String())},
			ibgib.Member{Name: "value", Value: ibgib.String(s.Value)},
		)
	}
	var demands ibgib.Value
	if len(p.Demands) > 0 {
		ids := make([]ibgib.Value, len(p.Demands))
		for i, id := range p.Demands {
			ids[i] = ibgib.String(id.String())
		}
		demands = ibgib.Array(ids...)
	}
	return p.layout.object(
		ibgib.Member{Name: "claim", Value: p.Claim.Value()},
		ibgib.Member{Name: "solutions", Value: ibgib.Array(solutions...)},
		ibgib.Member{Name: "requiredChallengeIds", Value: demands},
	)
}

// Revocation ends a keystone.
type Revocation struct {
	Reason string
	Proof  Proof // the same as the frame's

	layout layout
}

// Value returns the revocation as it stands in a frame.
func (r Revocation) Value() ibgib.Value {
	return r.layout.object(
		ibgib.Member{Name: "reason", Value: ibgib.String(r.Reason)},
		ibgib.Member{Name: "proof", Value: r.Proof.Value()},
	)
}

func (f *findings) claim(v ibgib.Value, path string) Claim {
	r, members := f.open(v, spot{}, path)
	var c Claim
	for _, m := range members {
		switch m.Name {
		case "target":
			r.field(m)
			target, err := ibgib.ParseAddr(m.Value.Str())
			if err != nil {
				r.fail("has a target that is no address: %s", shown(m.Value))
			}
			c.Target = target
		case "verb":
			c.Verb = r.name(m, MaxVerb)
		case "scope":
			c.Scope = r.str(m)
		default:
			r.other(m)
		}
	}
	c.layout = r.order
	return c
}

func (f *findings) proof(v ibgib.Value, path string) Proof {
	r, members := f.open(v, spot{}, path)
	var p Proof
	for _, m := range members {
		switch m.Name {
		case "claim":
			r.field(m)
			p.Claim = f.claim(m.Value, path+" claim")
		case "solutions":
			for _, item := range r.list(m, MaxPoolSize) {
				if s, ok := r.solution(item); ok {
					p.Solutions = append(p.Solutions, s)
				}
			}
		case "requiredChallengeIds":
			items := r.list(m, MaxPoolSize)
			if len(items) == 0 && !r.bad {
				r.fail("has an empty list of requiredChallengeIds")
			}
			for _, item := range items {
				if id, ok := r.id("requiredChallengeIds", item); ok {
					p.Demands = append(p.Demands, id)
				}
			}
		default:
			r.other(m)
		}
	}
	r.need("claim", "solutions")
	p.layout = r.order
	return p
}

func (r *reader) solution(v ibgib.Value) (Solution, bool) {
	parts := v.Members()
	if len(parts) != 4 || parts[0].Name != "type" || parts[1].Name != "poolId" || parts[2].Name != "challengeId" || parts[3].Name != "value" ||
		parts[0].Value.Str() != strategyType || parts[1].Value.Str() == "" || parts[3].Value.Str() == "" {
		r.fail("has a solution that is not {type: %s, poolId, challengeId, value}: %s", strategyType, shown(v))
		return Solution{}, false
	}
	id, ok := r.id("solution", parts[2].Value)
	return Solution{Pool: parts[1].Value.Str(), ID: id, Value: parts[3].Value.Str()}, ok
}

func (f *findings) revocation(v ibgib.Value) *Revocation {
	r, members := f.open(v, spot{}, "revocationInfo")
	var rev Revocation
	for _, m := range members {
		switch m.Name {
		case "reason":
			r.field(m)
			if m.Value.Kind() != ibgib.KindString {
				r.fail("has a reason that is no text: %s", shown(m.Value))
			}
			rev.Reason = m.Value.Str()
		case "proof":
			r.field(m)
			rev.Proof = f.proof(m.Value, "revocationInfo proof")
		default:
			r.other(m)
		}
	}
	r.need("reason", "proof")
	rev.layout = r.order
	return &rev
}
