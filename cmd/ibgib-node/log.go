package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func logCommand(c *cli) *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:   "log [ADDR]",
		Short: "List the frames of a timeline, or follow changes",
		Long: `Lists the frames of a timeline from ADDR down to its tjp, newest first; from the
latest if ADDR is the tjp itself. A merge or keep frame stands on several frames,
of which the list follows the first; --graph draws them all, with the branches of
the timeline that are not merged if ADDR is its tjp.

With --follow it does not end: it prints the last frames of the timeline, oldest
first, and then each new one as it appears, wherever it comes from. Without ADDR
it prints a line for each timeline that changes; one that changes several times in
a moment may show once. With --json each line is a JSON value; without ADDR it has
the id of the change, from which --since goes on. --follow needs a node that runs.
Ctrl-C ends it.`,
		Example: `  ibgib-node log 'note^HASH'
  ibgib-node log 'note^HASH.TJPGIB' --limit 10
  ibgib-node log 'note^HASH' --graph
  ibgib-node log 'note^HASH' --json
  ibgib-node log 'note^HASH' --follow
  ibgib-node log --follow --json`,
		Args: argsBetween(0, 1, "one ADDR, or none with --follow"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.limited = cmd.Flags().Changed("limit")
			switch {
			case o.limit < 0:
				return usage(cmd, "--limit cannot be negative")
			case len(args) == 0 && !o.follow:
				return usage(cmd, "log takes one ADDR, or --follow")
			case len(args) == 0 && o.limited:
				return usage(cmd, "--limit is for the frames of one ADDR")
			case o.graph && o.follow:
				return usage(cmd, "either --graph or --follow")
			case o.since != "" && (len(args) > 0 || !o.follow):
				return usage(cmd, "--since goes with --follow and without ADDR")
			case len(args) == 0:
				return c.followAll(cmd.Context(), o.since)
			}
			addr, err := c.addrArg(cmd, args[0])
			if err != nil {
				return err
			}
			if o.graph {
				return c.logGraph(cmd.Context(), addr, o.limit)
			}
			if o.follow {
				return c.followLog(cmd.Context(), addr, o)
			}
			return c.log(cmd.Context(), addr, o.limit)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.limit, "limit", 0, "stop after `N` frames (default: all; with --follow the last 10 come first)")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with what is new")
	f.BoolVar(&o.graph, "graph", false, "draw branches and merges")
	f.StringVar(&o.since, "since", "", "begin after the change with this `ID`, as --json shows it")
	return cmd
}

type logOptions struct {
	limit   int
	limited bool // limit was given
	follow  bool
	graph   bool
	since   string
}

func (c *cli) log(ctx context.Context, addr ibgib.Addr, limit int) error {
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		return printList(c, client.Log(ctx, addr, limit), "no frames",
			[]string{"N", "TIME (UTC)", "KIND", "ADDRESS"},
			func(f node.Frame) []string {
				return []string{showN(f.N), showTime(f.Time), f.Kind, show(f.Addr)}
			})
	})
}
