package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func headsCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "heads",
		Short: "List the timelines and their heads",
		Long: `Lists every timeline with its latest frame, by the hash of its tjp. A timeline
with more than one head has diverged; where its branches are merged it says
merged, where a person has chosen the latest among them pinned. See conflicts. Of a
timeline that is not in the default share it names a share that lists it.`,
		Example: `  ibgib-node heads
  ibgib-node heads --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.heads(cmd.Context()) },
	}
}

func (c *cli) heads(ctx context.Context) error {
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		return printList(c, client.Heads(ctx), "no timelines yet: ibgib-node new IB starts one",
			[]string{"TIMELINE", "N", "HEADS", "LATEST"},
			func(t node.Timeline) []string {
				heads := strconv.Itoa(len(t.Heads))
				switch {
				case t.Pinned:
					heads += ", pinned"
				case t.Merged:
					heads += ", merged"
				}
				if t.Share != "" {
					heads += ", in " + printable(t.Share)
				}
				return []string{shortHash(t.Tjp), showN(t.N), heads, show(t.Latest)}
			})
	})
}

// shortHash returns the first digits of an address's hash, enough to tell
// timelines apart by eye.
func shortHash(a ibgib.Addr) string { return shortText(a.Gib()) }

// shortText returns the first digits of a hash or an id.
func shortText(hash string) string {
	const digits = 12
	return printable(hash[:min(digits, len(hash))])
}
