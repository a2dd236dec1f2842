package node

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node/form"
	"github.com/ibgib/ibgib-node/node/internal/secretfile"
	"github.com/ibgib/ibgib-node/timeline"
)

const (
	// maxKeystoneFrames bounds the frames of a keystone that is read from a file.
	maxKeystoneFrames = 100_000
	// maxKeystoneLine bounds a frame in a file, in bytes; one with the pools of a node
	// has about 30,000.
	maxKeystoneLine = 16 << 20
	// maxKeystoneFile bounds a file, in bytes.
	maxKeystoneFile = 256 << 20
	// maxViolations bounds the violations that are listed.
	maxViolations = 1000
)

// RuleGate is the rule of a violation for a line that is no ibGib.
const RuleGate keystone.Rule = "not-an-ibgib"

// readKeystone reads the frames of a keystone, one a line. A line that is no ibGib
// is given to refused, with its number among the frames.
func readKeystone(r io.Reader, refused func(n int, why error)) ([]ibgib.IbGib, error) {
	in := form.NewLineReader(io.LimitReader(r, maxKeystoneFile+1), maxKeystoneLine)
	var frames []ibgib.IbGib
	for n := 0; ; n++ {
		l, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return frames, nil
		case err != nil:
			return nil, err
		case in.Offset() > maxKeystoneFile:
			return nil, fmt.Errorf("%w: more than %d MiB", ErrFormat, maxKeystoneFile>>20)
		case n == maxKeystoneFrames:
			return nil, fmt.Errorf("%w: more than %d frames", ErrFormat, maxKeystoneFrames)
		case l.TooLong:
			refused(n, fmt.Errorf("line %d is longer than %d MiB", l.Line, maxKeystoneLine>>20))
			continue
		}
		g, err := ibgib.Import(l.Text)
		if err != nil {
			refused(n, fmt.Errorf("line %d: %w", l.Line, err))
			continue
		}
		frames = append(frames, g)
	}
}

// VerifyKeystoneFile replays the keystone in a file of one frame a line, oldest
// first. Nothing of it is stored. The error is about reading; it wraps ErrFormat for
// a file beyond the limits.
func VerifyKeystoneFile(r io.Reader) (keystone.Report, error) {
	var broken []keystone.Violation
	frames, err := readKeystone(r, func(n int, why error) {
		broken = append(broken, keystone.Violation{Rule: RuleGate, N: n, Detail: shorten(why.Error())})
	})
	if err != nil {
		return keystone.Report{}, fmt.Errorf("node: keystone: %w", err)
	}
	report := verifyKeystone(frames)
	if len(broken) > 0 {
		report.Valid = false
		report.Frames += len(broken)
		report.Violations = append(broken, report.Violations...)
		report.Violations = report.Violations[:min(len(report.Violations), maxViolations)]
	}
	return report, nil
}

func verifyKeystone(frames []ibgib.IbGib) keystone.Report {
	report := keystone.Validate(frames)
	report.Violations = report.Violations[:min(len(report.Violations), maxViolations)]
	return report
}

// VerifyKeystone replays a keystone from its first frame as it is stored, whatever
// was remembered of it; addr as in KeystoneFrames.
func (n *Node) VerifyKeystone(ctx context.Context, addr ibgib.Addr) (keystone.Report, error) {
	var frames []ibgib.IbGib
	for g, err := range n.KeystoneFrames(ctx, addr) {
		if err != nil {
			return keystone.Report{}, err
		}
		frames = append(frames, g)
	}
	return verifyKeystone(frames), nil
}

// ImportKeystone reads a keystone from a file of one frame a line and keeps it, if it
// is valid as a whole. It is trusted no more than before. Errors are
// *keystone.Invalid, those of the gate, or wrap ErrFormat or keystone.ErrDisputed.
func (n *Node) ImportKeystone(ctx context.Context, r io.Reader) (Keystone, error) {
	k, err := n.importKeystone(ctx, r)
	if err != nil {
		return Keystone{}, fmt.Errorf("node: keystone: %w", err)
	}
	return k, nil
}

func (n *Node) importKeystone(ctx context.Context, r io.Reader) (Keystone, error) {
	var refused error
	frames, err := readKeystone(r, func(_ int, why error) {
		if refused == nil {
			refused = why
		}
	})
	if err = errors.Join(err, refused); err != nil {
		return Keystone{}, err
	}
	if len(frames) == 0 {
		return Keystone{}, fmt.Errorf("%w: there is no frame", ErrInput)
	}
	if report := verifyKeystone(frames); !report.Valid {
		return Keystone{}, &keystone.Invalid{Violations: report.Violations}
	}
	h, err := n.book.Extend(ctx, "", frames)
	if genesis, ok := timeline.Claims(frames[0]); ok {
		n.review(genesis) // what came in may end trust
	}
	if err != nil {
		return Keystone{}, err
	}
	return n.showKeystone(h), nil
}

// ReadPassphrase reads a passphrase from where an unattended start hands it over; a
// line feed at its end is dropped.
func ReadPassphrase(r io.Reader) ([]byte, error) { return secretfile.Passphrase(r) }
