package saga

import (
	"crypto/sha256"
	"hash"
)

// recorder sums up the messages of a saga for the transcript: for each side and
// stage how many there were, and SHA-256 over their digests in order.
type recorder struct {
	runs   [2][StageCommit + 1]run // by Role-1 and Stage
	latest Stage
}

type run struct {
	messages uint64
	digest   hash.Hash
}

func (r *recorder) add(side Role, stage Stage, receipt Receipt) {
	r.latest = stage
	if side != Initiator && side != Responder || int(stage) >= len(r.runs[0]) {
		return
	}
	run := &r.runs[side-1][stage]
	if run.digest == nil {
		run.digest = sha256.New()
	}
	run.messages++
	run.digest.Write(receipt.Digest[:])
}
