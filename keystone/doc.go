// Package keystone is hash-based identity. A keystone is a timeline without dna:
// each frame publishes pools of hash challenges, and the next frame is authorised
// by solutions to some of them. It never merges.
//
// The package is pure: clock, randomness and ids are parameters, and the same
// values give the same frame, byte for byte. It keeps no files, talks to no peers
// and decides about no trust; the node does that, and hands the block store a
// function that admits keystone frames. Every ibGib given to it must have passed
// the gate of package ibgib, so its gib fits its content. Apart from that it may
// be hostile: nothing here panics on it, and all work has a limit (limits.go).
//
// Reading order: strategy.go (how values derive), config.go, pool.go, proof.go
// and data.go (what a frame holds), selection.go (what a proof has to solve),
// first_frame.go and successor.go (the rules), history.go and validate.go (replay),
// rival.go (equivocation), sign.go, genesis.go and draws.go (making frames),
// cosign.go, session.go, delta.go, snapshot.go, secret.go.
//
// # Making frames
//
// A [Signer] makes the first frame (Begin, BeginSession) and, given a [History],
// each next one (Sign, Revoke, Rotate). It judges what it made by the same rules
// that others apply. It does not change the history: the frame is stored durably
// first, then added, and nothing else is signed in between.
//
// # Judging frames
//
// [Validate] replays a whole timeline and reports every [Violation]. A [History]
// is a timeline that was replayed; Add costs one frame, whatever the length
// (about a millisecond for 200 challenges). A node keeps one for each keystone in
// use, saves it by AppendBinary and takes it up by [Resume] with the newest frame,
// or replays what it stored. Beyond what the TypeScript service checks, a frame is
// refused when
//
//   - ib, n, uuid, ancestor, past or tjp are not those of the next frame, there are
//     other links, or its time cannot be read; past is the frame before alone, or
//     that after all of its own past;
//   - the frame before revokes the keystone;
//   - it has not exactly one proof, or the proof lacks verb or target, or is by a
//     pool that does not allow the verb (revoke: by another pool than revoke);
//   - its solutions are not exactly the ones that had to be solved: demands, the
//     digits of the target, the first free ones, in this order and before the random
//     ones; none twice, none more, all of one pool;
//   - the pools are not exactly what the replenish rule gives: other pools and all
//     configs unchanged, solved challenges gone, the others in their order, new ones
//     at the end, and the binding map as it follows from that;
//   - a challenge id that is new to its pool was in the timeline before;
//   - revocationInfo and verb revoke do not go together, or its proof is not the
//     frame's own about the frame before.
//
// All frames of the golden data pass these rules as written.
//
// # In a node
//
// A node keeps a history for each keystone it has to do with, and lets the block
// store ask it about each frame that arrives:
//
//   - the first frame: [Begin];
//   - a later one: Add to the history of its tjp. What breaks a rule is kept out of
//     the index under the rule of the first violation. A frame that is known
//     already is admitted again at no cost;
//   - on a [*RivalError] it loads the two frames that the error names and asks
//     Weigh. The rival is kept out of the index either way; evidence is stored, and
//     Dispute withdraws the keystone.
//
// What came with a commit that failed is taken back by [History.Until]. Frames of
// a peer that may yet be dropped are tried on a [History.Clone]. One call at a time
// may change a history.
//
// # Where the rules meet the TypeScript service
//
//   - Its challenge ids derive from salt, milliseconds and a counter ([DerivedID]).
//     Two frames of one pool in one millisecond get the same ids. Such a frame is
//     refused: the same id has the same solution, which the frame before may have
//     shown.
//   - Its proofs may list demands twice, and name any number of proofs. It never
//     writes more than one; several would leave open which pools follow from them.
//   - It merges frameDetails with those of the frame before if both are objects.
//     Ours are replaced. Validity does not depend on them, but for co-signing.
//   - A bound pool of its making can lack the bucket that a target needs; signing
//     then fails, here with an [ExhaustedError]. Ours cannot run out that way: a
//     new id goes to one of the least filled buckets, and a bound pool has at
//     least 64 ids.
//   - The proof in revocationInfo stands outside of arrays, so its members are
//     sorted, while those of the same proof in proofs keep their order. They are
//     compared sorted.
//   - Its frames name their whole past, which grows with every frame; those of our
//     own keystones name the frame before. Both are read.
//   - Its presets are taken over with four bound digits for the standard pool and
//     none for the revocation pool.
//
// # Foreign members
//
// Pools and proofs stand in arrays, so the order of members is part of the hash;
// all types here keep it. Members that this package does not know are kept and
// written back in their places: in data, pool, config, behavior, claim, proof and
// revocationInfo (the golden data has an id in a config). In pools they must never
// change. A challenge is exactly {type, hash} and a solution exactly {type,
// poolId, challengeId, value}, which is how they are always written.
//
// # Co-signing
//
// Solutions that were shown do not bind the rest of their frame: whoever sees a
// frame first could make another one from them. So a keystone of our own lists
// Ed25519 keys in frameDetails.cosigKeys of its first frame (32 bytes each,
// base64url without padding), and frameDetails.cosig of every later frame is a
// signature by the first of them, in the same form, over
//
//	"ibgib keystone cosig v1" 0x00 {"ib":...,"data":...,"rel8ns":...}
//
// that is the stored form without the member gib, and without cosig (and without
// frameDetails if that leaves it empty). A keystone that lists keys is valid only
// with the signatures, but for a revocation: the key may be what was lost. One
// that a revocation bears has to be right all the same.
//
// # Equivocation
//
// Two different valid successors of one frame are equivocation. A rival counts
// only if it solves a challenge that the known frame does not, or bears a valid
// co-signature; see [History.Weigh]. The keystone is then disputed and authorises
// nothing until a person decides.
//
// # Sessions
//
// A session keystone has the pool of [SessionConfig], and
// frameDetails {cosigKeys: [one key], peers: [both peer ids, sorted], expires: epoch
// milliseconds, at most 30 days after its own time}. The primary authorises it by
// a frame {target: the session's first frame, verb sync}. On a connection each
// session signs {target: the [Connection] stone, verb connect} once, and at the end
// of a saga in which something moved {target: the last frame of its transcript,
// verb transcript}. Its secret derives from that of the primary ([Secret.Session]), so that
// nothing has to be kept secret beside that. [CheckSession] and [History.Accept] check it and fail with a
// [SessionError], whose [Reason] tells unknown, revoked, disputed, expired and bad
// proof apart.
package keystone
