package keystone

import (
	"github.com/ibgib/ibgib-node/ibgib"
)

// Report is the result of Validate.
type Report struct {
	Valid      bool        `json:"valid"`
	Frames     int         `json:"frames"`
	Revoked    bool        `json:"revoked"`    // the last frame ends the keystone
	Violations []Violation `json:"violations"` // never nil; at most MaxViolations of one frame
}

// Validate replays a whole timeline, oldest frame first, and reports every
// violation. A frame that breaks rules is still what the next one is judged by,
// as long as its pools can be read. Frames must have passed the gate; that they
// are hostile otherwise is expected.
func Validate(frames []ibgib.IbGib) Report {
	r := Report{Frames: len(frames), Violations: []Violation{}}
	if len(frames) == 0 {
		var found findings
		found.add(RuleNoFrames, spot{}, "there is no frame")
		r.Violations = found.list
		return r
	}
	h := &History{seen: make(map[ChallengeID]int)}
	ok := false
	for n, g := range frames {
		found := findings{frame: g.Addr(), n: n}
		var d Data
		switch {
		case n == 0:
			if d, ok = h.judgeFirst(&found, g); ok {
				h.begin(g, d)
			}
		case ok:
			if d, ok = h.judgeNext(&found, h.tip, g); ok {
				h.commit(g, d)
			}
		default:
			found.add(RuleNotReplayed, spot{}, "a frame before it could not be read")
		}
		r.Violations = append(r.Violations, found.list...)
	}
	r.Valid = len(r.Violations) == 0
	r.Revoked = h.tip.d.Revocation != nil
	return r
}
