package keystone

import (
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Pool is one pool of challenges as it stands in a frame. Treat it as immutable.
type Pool struct {
	Config     Config
	Challenges []Challenge // unsolved ones, in member order
	Buckets    []Bucket    // the binding map, in member order

	layout layout
	shell  string // canonical text of all that never changes
}

// Bucket lists the challenges whose ids begin with a digit. It stays when it
// has become empty.
type Bucket struct {
	Digit byte // '0' to '9', 'a' to 'f'
	IDs   []ChallengeID
}

// ID returns the id of the pool, which is the salt of its config.
func (p Pool) ID() string { return p.Config.Salt }

// Challenge returns the challenge with this id.
func (p Pool) Challenge(id ChallengeID) (Challenge, bool) {
	for _, c := range p.Challenges {
		if c.ID == id {
			return c, true
		}
	}
	return Challenge{}, false
}

// newPool returns a pool without challenges.
func newPool(c Config) Pool {
	p := Pool{Config: c}
	p.shell = p.fixed()
	return p
}

// fixed returns the text of all that never changes: config and whatever members
// somebody else put there, each in its place.
func (p Pool) fixed() string { return text(p.object(ibgib.Null(), ibgib.Null())) }

func (p Pool) object(challenges, buckets ibgib.Value) ibgib.Value {
	return p.layout.object(
		ibgib.Member{Name: "id", Value: ibgib.String(p.ID())},
		ibgib.Member{Name: "config", Value: p.Config.Value()},
		ibgib.Member{Name: "challenges", Value: challenges},
		ibgib.Member{Name: "bindingMap", Value: buckets},
	)
}

// Value returns the pool as it stands in a frame.
func (p Pool) Value() ibgib.Value {
	challenges := make([]ibgib.Member, len(p.Challenges))
	for i, c := range p.Challenges {
		challenges[i] = ibgib.Member{Name: c.ID.String(), Value: ibgib.Object(
			ibgib.Member{Name: "type", Value: ibgib.String(strategyType)},
			ibgib.Member{Name: "hash", Value: ibgib.String(c.Hash)},
		)}
	}
	buckets := make([]ibgib.Member, len(p.Buckets))
	for i, b := range p.Buckets {
		ids := make([]ibgib.Value, len(b.IDs))
		for k, id := range b.IDs {
			ids[k] = ibgib.String(id.String())
		}
		buckets[i] = ibgib.Member{Name: string(b.Digit), Value: ibgib.Array(ids...)}
	}
	return p.object(ibgib.Object(challenges...), ibgib.Object(buckets...))
}

// equal reports whether both are the same, member for member.
func (p Pool) equal(q Pool) bool {
	return p.shell == q.shell && slices.Equal(p.Challenges, q.Challenges) && equalBuckets(p.Buckets, q.Buckets)
}

func equalBuckets(a, b []Bucket) bool {
	return slices.EqualFunc(a, b, func(x, y Bucket) bool { return x.Digit == y.Digit && slices.Equal(x.IDs, y.IDs) })
}

// with returns the pool with more challenges at the end.
func (p Pool) with(more ...Challenge) Pool {
	p.Challenges = append(slices.Clip(p.Challenges), more...)
	p.Buckets = slices.Clone(p.Buckets)
	for i, b := range p.Buckets {
		p.Buckets[i].IDs = slices.Clip(b.IDs)
	}
	for _, c := range more {
		digit := c.ID.Bucket()
		i := slices.IndexFunc(p.Buckets, func(b Bucket) bool { return b.Digit == digit })
		if i < 0 {
			i = bucketPlace(p.Buckets, digit)
			p.Buckets = slices.Insert(p.Buckets, i, Bucket{Digit: digit})
		}
		p.Buckets[i].IDs = append(p.Buckets[i].IDs, c.ID)
	}
	return p
}

// bucketPlace returns where JavaScript puts a new bucket: digits are array
// indices and come first, by value; letters keep the order of their coming.
func bucketPlace(buckets []Bucket, digit byte) int {
	for i, b := range buckets {
		if digit <= '9' && (b.Digit > '9' || b.Digit > digit) {
			return i
		}
	}
	return len(buckets)
}

// without returns the pool without some challenges. Their buckets stay.
func (p Pool) without(ids []ChallengeID) Pool {
	p.Challenges = slices.DeleteFunc(slices.Clone(p.Challenges), func(c Challenge) bool { return slices.Contains(ids, c.ID) })
	p.Buckets = slices.Clone(p.Buckets)
	for i, b := range p.Buckets {
		p.Buckets[i].IDs = slices.DeleteFunc(slices.Clone(b.IDs), func(id ChallengeID) bool { return slices.Contains(ids, id) })
	}
	return p
}

// empty returns the pool without challenges and buckets.
func (p Pool) empty() Pool {
	p.Challenges, p.Buckets = nil, nil
	return p
}

// replenishment returns what is left of the pool when some challenges have been
// solved, and how many new ones have to follow at its end.
func (p Pool) replenishment(solved []ChallengeID) (left Pool, fresh int) {
	switch p.Config.Behavior.Replenish {
	case TopUp:
		return p.without(solved), len(solved)
	case ReplaceAll:
		return p.empty(), p.Config.Behavior.Size
	case Consume:
		return p.without(solved), 0
	default:
		return p.empty(), 0
	}
}

// pools reads the list of pools. ok is false if it cannot be relied on.
func (f *findings) pools(v ibgib.Value) (list []Pool, ok bool) {
	before := len(f.list) + f.more
	if v.Kind() != ibgib.KindArray {
		f.add(RuleForm, spot{}, "challengePools is no list: %s", shown(v))
		return nil, false
	}
	items := v.Items()
	if len(items) > MaxPools {
		f.add(RuleLimit, spot{}, "%d pools, the limit is %d", len(items), MaxPools)
		return nil, false
	}
	for _, item := range items {
		list = append(list, f.pool(item))
	}
	return list, len(f.list)+f.more == before
}

func (f *findings) pool(v ibgib.Value) Pool {
	id, _ := v.Get("id")
	at := spot{pool: id.Str()}
	r, members := f.open(v, at, "pool")
	var p Pool
	var challenges ibgib.Value
	for _, m := range members {
		switch m.Name {
		case "id":
			r.str(m)
		case "config":
			r.field(m)
			p.Config = f.config(m.Value, at)
		case "challenges":
			r.field(m)
			challenges = m.Value
		case "bindingMap":
			r.field(m)
			p.Buckets = f.buckets(r, m.Value)
		default:
			r.other(m)
		}
	}
	r.need("id", "config", "challenges", "bindingMap")
	if salt := p.Config.Salt; salt != "" && salt != id.Str() {
		f.add(RulePoolID, at, "the salt of its config is %s", clip(salt))
	}
	p.Challenges = f.challenges(r, challenges, p.Config.Strategy.Algo)
	p.layout = r.order
	p.shell = p.fixed()
	return p
}

func (f *findings) challenges(r *reader, v ibgib.Value, algo Algo) []Challenge {
	if v.Kind() != ibgib.KindObject {
		if r.seen["challenges"] {
			r.fail("has challenges that are no object: %s", shown(v))
		}
		return nil
	}
	members := v.Members()
	if len(members) > MaxPoolSize {
		f.add(RuleLimit, r.at, "%d challenges, the limit is %d", len(members), MaxPoolSize)
		return nil
	}
	list := make([]Challenge, 0, len(members))
	for _, m := range members {
		id, ok := r.id("challenge", ibgib.String(m.Name))
		if !ok {
			continue
		}
		parts := m.Value.Members()
		if len(parts) != 2 || parts[0].Name != "type" || parts[1].Name != "hash" || parts[0].Value.Str() != strategyType {
			f.add(RuleForm, spot{r.at.pool, m.Name}, "a challenge that is not {type: %s, hash}: %s", strategyType, shown(m.Value))
			continue
		}
		hash := parts[1].Value.Str()
		if digits := algo.digits(); digits > 0 && !isHex(hash, digits) {
			f.add(RuleForm, spot{r.at.pool, m.Name}, "a hash that is not %d lower-case hex digits: %s", digits, shown(parts[1].Value))
			continue
		}
		list = append(list, Challenge{id, hash})
	}
	return list
}

func (f *findings) buckets(r *reader, v ibgib.Value) []Bucket {
	if v.Kind() != ibgib.KindObject {
		r.fail("has a bindingMap that is no object: %s", shown(v))
		return nil
	}
	list := make([]Bucket, 0, len(v.Members()))
	for _, m := range v.Members() {
		if !isHex(m.Name, 1) || m.Value.Kind() != ibgib.KindArray {
			r.fail("has a bindingMap with something else than lists by lower-case hex digit: %s", clip(m.Name))
			return nil
		}
		b := Bucket{Digit: m.Name[0], IDs: make([]ChallengeID, 0, len(m.Value.Items()))}
		for _, item := range m.Value.Items() {
			id, ok := r.id("bindingMap", item)
			if !ok {
				return nil
			}
			b.IDs = append(b.IDs, id)
		}
		list = append(list, b)
	}
	return list
}
