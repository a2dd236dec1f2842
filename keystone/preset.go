package keystone

// The ids of the pools of our own keystones.
const (
	PoolDefault = "default"
	PoolSync    = "sync"
	PoolRevoke  = "revoke"
	PoolSession = "session"
)

// The verbs that this package knows. Any other text may be signed too.
const (
	VerbRevoke     = "revoke"     // ends the keystone; only Revoke signs it
	VerbRotate     = "rotate"     // names the keystone that takes the place of this one
	VerbSync       = "sync"       // a primary: authorises a session
	VerbConnect    = "connect"    // a session: proves itself on a connection
	VerbTranscript = "transcript" // a session: vouches for what a saga did
)

// boundDigits is how many digits of a target the pools of our own are bound to.
// Least-filled buckets of at least 64 ids in all have four ids each, so that
// also four equal digits find theirs.
const boundDigits = 4

// StandardConfig is the standard preset under a salt of choice: for whatever no
// other pool is for.
func StandardConfig(salt string) Config {
	return Config{
		Salt: salt, Verbs: []string{},
		Behavior: Behavior{Size: 100, Replenish: TopUp, Sequentially: 2, Randomly: 2, BindingChars: boundDigits},
		Strategy: Strategy{SHA256, 1},
	}
}

// RevocationConfig is the revocation preset.
func RevocationConfig() Config {
	return revocationOf(500, 10)
}

func revocationOf(size, each int) Config {
	return Config{
		Salt: PoolRevoke, Verbs: []string{VerbRevoke},
		Behavior: Behavior{Size: size, Replenish: ScorchedEarth, Sequentially: each, Randomly: each},
		Strategy: Strategy{SHA256, 10},
	}
}

// PrimaryConfigs are the pools of the primary keystone of a node: default for
// rotation and all that has no pool of its own, sync for sessions, revoke.
func PrimaryConfigs() []Config {
	return []Config{
		StandardConfig(PoolDefault),
		{
			Salt: PoolSync, Verbs: []string{VerbSync},
			Behavior: Behavior{Size: 64, Replenish: TopUp, Sequentially: 2, Randomly: 2, BindingChars: boundDigits},
			Strategy: Strategy{SHA256, 1},
		},
		revocationOf(32, 8),
	}
}

// SessionConfig is the one pool of a session keystone.
func SessionConfig() Config {
	return Config{
		Salt: PoolSession, Verbs: []string{VerbConnect, VerbTranscript},
		Behavior: Behavior{Size: 16, Replenish: TopUp, Sequentially: 1, Randomly: 1},
		Strategy: Strategy{SHA256, 1},
	}
}
