package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func idCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "id",
		Short: "Print the peer id and the addresses of this node",
		Long: `Prints the peer id of this node, which others trust, and the addresses at which
they reach it: those at which it listens, or did when it last ran.`,
		Example: `  ibgib-node id
  ibgib-node id --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.id(cmd.Context()) },
	}
}

func (c *cli) id(ctx context.Context) error {
	var id node.Identity
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		id, err = client.ID(ctx)
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(id.Addrs)
	return c.print(id, func(w io.Writer) {
		fmt.Fprintf(w, "peer  %s\n", id.PeerID)
		for _, a := range id.Addrs {
			fmt.Fprintf(w, "addr  %s\n", printable(a))
		}
	})
}
