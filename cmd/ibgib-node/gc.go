package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func gcCommand(c *cli) *cobra.Command {
	var o blockstore.GCOptions
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove what nothing needs",
		Long: `Removes ibGibs that came from peers and that no timeline, no pin and no sync under
way needs, and gives the disk space back. What was written or imported here
stays. What arrived within --age is left alone, so that a file or a
sync that is not complete yet can go on.

It counts what every share keeps, one that is in two shares twice, and the keystones and
records of syncs that the node keeps for itself, so more than the ibGibs of stats.

Other commands may work meanwhile. A node that is stopped during gc has removed
less, and is in order.`,
		Example: `  ibgib-node gc
  ibgib-node gc --dry-run --json
  ibgib-node gc --age 1h --drop-rejected`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Age < 0 {
				return usage(cmd, "--age cannot be negative")
			}
			if o.Age == 0 {
				o.Age = -1 // 0 is the default there
			}
			return c.gc(cmd.Context(), o)
		},
	}
	cmd.Flags().DurationVar(&o.Age, "age", blockstore.DefaultGCAge, "leave alone what arrived within this `TIME`")
	cmd.Flags().BoolVar(&o.DropRejected, "drop-rejected", false, "remove frames too that a rule keeps out of their timelines")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only count")
	return cmd
}

func (c *cli) gc(ctx context.Context, o blockstore.GCOptions) error {
	var report blockstore.GCReport
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		bar := c.newProgress()
		defer bar.clear()
		report, err = client.GC(ctx, o, bar.upkeep("looked at"))
		return err
	})
	if err != nil {
		return err
	}
	return c.print(report, func(w io.Writer) {
		verb, also := "removed", "freed"
		if o.DryRun {
			verb, also = "would remove", "free"
		}
		fmt.Fprintf(w, "%s %s, %s %s, kept %d (with keystones and records of syncs, which stats does not count)\n", verb, count(report.Removed, "ibGib"), also, showBytes(report.Bytes), report.Kept)
		if report.Skipped > 0 {
			fmt.Fprintf(w, "%s left alone, for a change that is under way\n", count(report.Skipped, "share"))
		}
	})
}

// upkeep returns what shows the progress of work on the whole store.
func (p *progress) upkeep(what string) func(node.UpkeepProgress) {
	return func(u node.UpkeepProgress) { p.show(0, 0, "%d records %s", u.Done, what) }
}
