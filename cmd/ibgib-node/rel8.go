package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func rel8Command(c *cli) *cobra.Command {
	var add, remove []string
	cmd := &cobra.Command{
		Use:   "rel8 ADDR",
		Short: "Add links to a timeline, or take them away",
		Long: `Adds a frame with changed links to the timeline that ADDR belongs to, on top of
its latest frame, and prints the address of the new frame. ADDR is the tjp or
any frame. NAME is the name of a list of links; past, ancestor, dna and tjp are
kept by the program itself.

The change goes to all shares that list the timeline. If it would bring other
timelines into one that does not list them, or constants that were given to other
shares, it is refused, unless --include puts them there.`,
		Example: `  ibgib-node rel8 'note^HASH' --add comment='comment^HASH'
  ibgib-node rel8 'note^HASH' --add topic='garden^gib' --remove topic='kitchen^gib'`,
		Args: argsBetween(1, 1, "one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := c.addrArg(cmd, args[0])
			if err != nil {
				return err
			}
			if len(add)+len(remove) == 0 {
				return usage(cmd, "rel8 wants at least one of --add and --remove")
			}
			var o ibgib.Rel8Options
			if o.Add, err = linkArgs(cmd, "add", add); err != nil {
				return err
			}
			if o.Remove, err = linkArgs(cmd, "remove", remove); err != nil {
				return err
			}
			return c.rel8(cmd.Context(), addr, o)
		},
	}
	cmd.Flags().StringArrayVar(&add, "add", nil, "a link to add, `NAME=ADDR` (repeatable)")
	cmd.Flags().StringArrayVar(&remove, "remove", nil, "a link to take away, `NAME=ADDR` (repeatable)")
	c.whereFlags(cmd, false)
	return cmd
}

func (c *cli) rel8(ctx context.Context, addr ibgib.Addr, o ibgib.Rel8Options) error {
	return c.change(ctx, accessExisting, func(client *api.Client) (node.Change, error) {
		return client.Rel8(ctx, addr, o)
	})
}
