package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func forkCommand(c *cli) *cobra.Command {
	var o ibgib.ForkOptions
	cmd := &cobra.Command{
		Use:   "fork ADDR",
		Short: "Start a timeline from an ibGib",
		Long: `Starts a timeline whose ancestor is the ibGib ADDR, exactly that one and not the
latest of its timeline, and prints the address of the first frame. It begins
empty; --clone-data and --clone-rel8ns take over what the ibGib has.`,
		Example: `  ibgib-node fork 'note^HASH.TJPGIB'
  ibgib-node fork 'note^HASH' --ib 'another note' --clone-data
  ibgib-node fork 'document^gib' --ib note`,
		Args: argsBetween(1, 1, "one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			src, err := c.addrArg(cmd, args[0])
			if err != nil {
				return err
			}
			if o.DestIb == "" {
				o.DestIb = src.Ib()
			}
			return c.fork(cmd.Context(), src, o)
		},
	}
	cmd.Flags().StringVar(&o.DestIb, "ib", "", "the `IB` of the new timeline (default: that of ADDR)")
	cmd.Flags().BoolVar(&o.CloneData, "clone-data", false, "begin with the data of ADDR")
	cmd.Flags().BoolVar(&o.CloneRel8ns, "clone-rel8ns", false, "begin with the links of ADDR")
	c.whereFlags(cmd, true)
	return cmd
}

func (c *cli) fork(ctx context.Context, src ibgib.Addr, o ibgib.ForkOptions) error {
	return c.change(ctx, accessCreate, func(client *api.Client) (node.Change, error) {
		return client.Fork(ctx, src, o)
	})
}
