package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func diffCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "diff ADDR ADDR",
		Short: "Show how two ibGibs differ",
		Long: `Shows what the second ibGib has otherwise than the first: its ib, each value of its
data by its JSON pointer, and the addresses in its rel8ns. A minus is the first,
a plus the second. They need not be of one timeline.`,
		Example: `  ibgib-node diff 'note^HASH' 'note^HASH.TJPGIB'
  ibgib-node diff 'note^HASH' 'note^HASH.TJPGIB' --json`,
		Args: argsBetween(2, 2, "two ADDRs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addrs, err := c.addrArgs(cmd, args)
			if err != nil {
				return err
			}
			return c.diff(cmd.Context(), addrs[0], addrs[1])
		},
	}
}

func (c *cli) diff(ctx context.Context, from, to ibgib.Addr) error {
	var diff node.DiffResult
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		diff, err = client.Diff(ctx, from, to)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(diff, func(w io.Writer) { showDiff(w, diff) })
}

func showDiff(w io.Writer, d node.DiffResult) {
	if d.Ib == nil && len(d.Data)+len(d.Rel8ns) == 0 {
		fmt.Fprintln(w, "no difference")
		return
	}
	if d.Ib != nil {
		fmt.Fprintf(w, "ib\n  - %s\n  + %s\n", printable(d.Ib.Old), printable(d.Ib.New))
	}
	side := func(sign string, value []byte, bytes *int) {
		switch {
		case bytes != nil:
			fmt.Fprintf(w, "  %s %s of bytes\n", sign, showBytes(int64(*bytes)))
		case value != nil:
			fmt.Fprintf(w, "  %s %s\n", sign, printableJSON(value))
		}
	}
	for _, change := range d.Data {
		fmt.Fprintf(w, "data%s\n", printable(change.Path))
		side("-", change.Old, change.OldBytes)
		side("+", change.New, change.NewBytes)
	}
	for _, change := range d.Rel8ns {
		fmt.Fprintf(w, "rel8ns %s\n", printable(change.Name))
		for _, a := range change.Removed {
			fmt.Fprintf(w, "  - %s\n", show(a))
		}
		for _, a := range change.Added {
			fmt.Fprintf(w, "  + %s\n", show(a))
		}
		if change.Reordered {
			fmt.Fprintln(w, "  the same addresses in another order")
		}
	}
}
