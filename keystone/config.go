package keystone

import (
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
)

// Replenish says what becomes of a pool that was signed with.
type Replenish string

// The replenish rules.
const (
	TopUp         Replenish = "top-up"         // drop the solved challenges, add as many at the end
	ReplaceAll    Replenish = "replace-all"    // make all challenges anew
	Consume       Replenish = "consume"        // drop the solved challenges
	ScorchedEarth Replenish = "scorched-earth" // empty the pool
)

// Config is how a pool is made and used. It never changes. Treat it as
// immutable.
type Config struct {
	Salt     string   // also the id of the pool
	Verbs    []string // what the pool signs; none: whatever no other pool is for
	Behavior Behavior
	Strategy Strategy

	layout layout
}

// Behavior is how many challenges a pool has, and which ones a proof solves.
type Behavior struct {
	Size         int // challenges of the first frame
	Replenish    Replenish
	Sequentially int // the first so many challenges that are free, in member order
	Randomly     int // so many more, by chance
	// BindingChars is how many leading digits of the target's gib choose a
	// challenge each, from the bucket of that digit.
	BindingChars int

	layout layout
}

// required returns how many solutions a proof without demands has.
func (b Behavior) required() int { return b.BindingChars + b.Sequentially + b.Randomly }

// allows reports whether the pool may sign a claim with this verb.
func (c Config) allows(verb string) bool {
	return len(c.Verbs) == 0 || slices.Contains(c.Verbs, verb)
}

// work returns how many rounds it takes to check so many solutions.
func (c Config) work(solutions int) int64 { return int64(solutions) * int64(c.Strategy.Rounds) }

// Value returns the config as it stands in a frame.
func (c Config) Value() ibgib.Value {
	var verbs ibgib.Value
	if c.Verbs != nil {
		items := make([]ibgib.Value, len(c.Verbs))
		for i, verb := range c.Verbs {
			items[i] = ibgib.String(verb)
		}
		verbs = ibgib.Array(items...)
	}
	return c.layout.object(
		ibgib.Member{Name: "type", Value: ibgib.String(strategyType)},
		ibgib.Member{Name: "salt", Value: ibgib.String(c.Salt)},
		ibgib.Member{Name: "allowedVerbs", Value: verbs},
		ibgib.Member{Name: "behavior", Value: c.Behavior.Value()},
		ibgib.Member{Name: "algo", Value: ibgib.String(string(c.Strategy.Algo))},
		ibgib.Member{Name: "rounds", Value: ibgib.Number(float64(c.Strategy.Rounds))},
	)
}

// Value returns the behavior as it stands in a config.
func (b Behavior) Value() ibgib.Value {
	return b.layout.object(
		ibgib.Member{Name: "size", Value: ibgib.Number(float64(b.Size))},
		ibgib.Member{Name: "replenish", Value: ibgib.String(string(b.Replenish))},
		ibgib.Member{Name: "selectSequentially", Value: ibgib.Number(float64(b.Sequentially))},
		ibgib.Member{Name: "selectRandomly", Value: ibgib.Number(float64(b.Randomly))},
		ibgib.Member{Name: "targetBindingChars", Value: ibgib.Number(float64(b.BindingChars))},
	)
}

// ParseConfig reads a config as it stands in a frame; members that it does not
// know are kept. The error is an *Invalid.
func ParseConfig(v ibgib.Value) (Config, error) {
	var found findings
	c := found.config(v, spot{})
	return c, found.err()
}

func (f *findings) config(v ibgib.Value, at spot) Config {
	before := len(f.list) + f.more
	r, members := f.open(v, at, "config")
	var c Config
	for _, m := range members {
		switch m.Name {
		case "type":
			r.field(m)
			if m.Value.Str() != strategyType {
				r.fail("has the type %s, not %s", shown(m.Value), strategyType)
			}
		case "salt":
			c.Salt = r.name(m, MaxSalt)
		case "allowedVerbs":
			c.Verbs = []string{}
			for _, item := range r.list(m, MaxVerbs) {
				verb := item.Str()
				if verb == "" || len(verb) > MaxVerb {
					r.fail("allows a verb that is no text of at most %d bytes: %s", MaxVerb, shown(item))
				}
				c.Verbs = append(c.Verbs, verb)
			}
		case "behavior":
			r.field(m)
			c.Behavior = f.behavior(m.Value, at)
		case "algo":
			c.Strategy.Algo = Algo(r.str(m))
		case "rounds":
			c.Strategy.Rounds = r.count(m)
		default:
			r.other(m)
		}
	}
	r.need("type", "salt", "behavior", "algo", "rounds")
	c.layout = r.order
	if len(f.list)+f.more == before {
		f.checkConfig(c)
	}
	return c
}

func (f *findings) behavior(v ibgib.Value, at spot) Behavior {
	r, members := f.open(v, at, "behavior")
	var b Behavior
	for _, m := range members {
		switch m.Name {
		case "size":
			b.Size = r.count(m)
		case "replenish":
			b.Replenish = Replenish(r.str(m))
		case "selectSequentially":
			b.Sequentially = r.count(m)
		case "selectRandomly":
			b.Randomly = r.count(m)
		case "targetBindingChars":
			b.BindingChars = r.count(m)
		default:
			r.other(m)
		}
	}
	r.need("size", "replenish", "selectSequentially", "selectRandomly", "targetBindingChars")
	b.layout = r.order
	return b
}

// checkConfig applies the rules of a config that has been read.
func (f *findings) checkConfig(c Config) {
	at := spot{pool: c.Salt}
	b := c.Behavior
	if c.Strategy.Algo.digits() == 0 {
		f.add(RuleConfig, at, "algo %s is neither %s nor %s", clip(string(c.Strategy.Algo)), SHA256, SHA512)
	}
	if rounds := c.Strategy.Rounds; rounds < 1 || rounds > MaxRounds {
		f.add(RuleLimit, at, "%d rounds, the limits are 1 and %d", rounds, MaxRounds)
	}
	if b.Size < 1 || b.Size > MaxPoolSize {
		f.add(RuleLimit, at, "%d challenges, the limits are 1 and %d", b.Size, MaxPoolSize)
	}
	switch b.Replenish {
	case TopUp, ReplaceAll, Consume, ScorchedEarth:
	default:
		f.add(RuleConfig, at, "unknown replenish rule %s", clip(string(b.Replenish)))
	}
	switch {
	case b.required() < 1:
		f.add(RuleConfig, at, "a proof would have no solution")
	case b.BindingChars > 64:
		f.add(RuleConfig, at, "bound to %d digits of a hash of 64", b.BindingChars)
	case b.required() > b.Size:
		f.add(RuleConfig, at, "a proof would have %d solutions of %d challenges", b.required(), b.Size)
	case c.work(b.required()) > MaxWork:
		f.add(RuleLimit, at, "a proof would take %d rounds, the limit is %d", c.work(b.required()), MaxWork)
	}
	sorted := slices.Sorted(slices.Values(c.Verbs))
	if len(slices.Compact(sorted)) < len(c.Verbs) {
		f.add(RuleConfig, at, "a verb twice in allowedVerbs")
	}
}
