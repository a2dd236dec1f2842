package node

import (
	"context"
	"fmt"
)

// Verify checks everything that is stored: each gib, what is closed, the index
// and its heads. The error is about reading; what is found is in the report.
// progress may be nil.
func (n *Node) Verify(ctx context.Context, progress func(VerifyProgress)) (VerifyReport, error) {
	report, err := n.store.Verify(ctx, func(checked int) {
		if progress != nil {
			progress(VerifyProgress{Checked: checked})
		}
	})
	if err != nil {
		return report, fmt.Errorf("node: verify: %w", err)
	}
	return report, nil
}
