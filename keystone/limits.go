package keystone

// Limits of what is read from a frame. They are part of the rules: nodes that
// accept differently would disagree about who signed what.
const (
	MaxRounds    = 10_000  // rounds of a config
	MaxPools     = 32      // pools of a keystone
	MaxPoolSize  = 4_096   // challenges of a pool
	MaxIDs       = 1 << 20 // challenge ids that a timeline brings in all of its frames
	MaxSalt      = 64      // bytes of a salt, which is also the id of its pool
	MaxVerb      = 64      // bytes of a verb
	MaxVerbs     = 64      // verbs that a pool allows
	MaxCosigKeys = 16      // keys that a keystone lists
	// MaxWork bounds the rounds that the check of one proof takes, all solutions
	// together.
	MaxWork = 200_000
	// MaxViolations bounds the violations that are listed for one frame.
	MaxViolations = 64
)

// minBoundSize is the least size of a pool of our own that is bound to its
// targets: smaller ones fail to sign at random.
const minBoundSize = 64
