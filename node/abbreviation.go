package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	addr, err := n.expand(ctx, strings.ToUpper(digits))
	if err != nil {
		return addr, fmt.Errorf("node: %s: %w", shorten(digits), err)
	}
	return addr, nil
}

func (n *Node) expand(ctx context.Context, digits string) (ibgib.Addr, error) {
	if !IsAbbreviation(digits) {
		return ibgib.Addr{}, fmt.Errorf("%w: not %d to %d hex digits", ErrInput, MinDigits, 2*len(ibgib.Hash{}))
	}
	found, err := n.beginning(ctx, digits)
	switch {
	case err != nil:
		return ibgib.Addr{}, err
	case len(found) == 0:
		return ibgib.Addr{}, absence("no hash begins so")
	case len(found) > 1:
		return ibgib.Addr{}, fmt.Errorf("%w: more than one hash begins so, such as those of %s and %s; give more digits", ErrInput, found[0], found[1])
	default:
		return found[0], nil
	}
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
