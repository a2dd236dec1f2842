package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
)

// MinDigits is how many digits of a hash it takes to stand for a stored ibGib.
const MinDigits = 6

// IsAbbreviation tells whether text may stand for an ibGib as the first digits of its
// hash, in upper or lower case.
func IsAbbreviation(text string) bool {
	return len(text) >= MinDigits && len(text) <= 2*len(ibgib.Hash{}) && strings.Trim(text, "0123456789ABCDEFabcdef") == ""
}

// Expand returns the address of the stored ibGib whose hash begins with the given
// digits. It fails with blockstore.ErrNotFound if there is none, and with ErrInput if
// there are several.
func (n *Node) Expand(ctx context.Context, digits string) (ibgib.Addr, error) {
	return expand(ctx, digits, n.beginning)
}

// ExpandKeystone does what Expand does for the frames of keystones, those that the node
// keeps and those that are stored otherwise.
func (n *Node) ExpandKeystone(ctx context.Context, digits string) (ibgib.Addr, error) {
	return expand(ctx, digits, n.keystonesBeginning)
}

func expand(ctx context.Context, digits string, beginning func(context.Context, string) ([]ibgib.Addr, error)) (ibgib.Addr, error) {
	fail := func(err error) (ibgib.Addr, error) {
		return ibgib.Addr{}, fmt.Errorf("node: %s: %w", shorten(digits), err)
	}
	if !IsAbbreviation(digits) {
		return fail(fmt.Errorf("%w: not %d to %d hex digits", ErrInput, MinDigits, 2*len(ibgib.Hash{})))
	}
	found, err := beginning(ctx, strings.ToUpper(digits))
	switch {
	case err != nil:
		return fail(err)
	case len(found) == 0:
		return fail(absence("no hash begins so"))
	case len(found) > 1:
		return fail(fmt.Errorf("%w: more than one hash begins so, such as those of %s and %s; give more digits", ErrInput, found[0], found[1]))
	}
	return found[0], nil
}

// beginning returns the ibGibs of all shares whose hash begins with some digits; two if
// there are more.
func (n *Node) beginning(ctx context.Context, digits string) ([]ibgib.Addr, error) {
	var list []ibgib.Addr
	for _, sh := range n.shares.all() {
		found, err := sh.view.Beginning(ctx, digits, 2)
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			if len(list) < 2 && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list, nil
}

// maxAlike bounds the hashes that are looked at for those of keystones.
const maxAlike = 1000

// keystonesBeginning does what beginning does for frames of keystones. Those that the node
// keeps are in the local area.
func (n *Node) keystonesBeginning(ctx context.Context, digits string) ([]ibgib.Addr, error) {
	list, err := n.store.View(blockstore.LocalArea).Beginning(ctx, digits, maxAlike)
	if err != nil {
		return nil, err
	}
	others, err := n.beginning(ctx, digits)
	for _, a := range others {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return slices.DeleteFunc(list, func(a ibgib.Addr) bool { return !strings.HasPrefix(a.String(), "keystone^") }), err
}
