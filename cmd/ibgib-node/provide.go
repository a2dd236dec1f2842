package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func provideCommand(c *cli) *cobra.Command {
	var stop bool
	cmd := &cobra.Command{
		Use:   "provide [ADDR...]",
		Short: "Announce timelines in the DHT, or list those that are",
		Long: `Announces the timelines of the given addresses in the DHT from now on, while a node
runs that takes part in one: that this node has them, under the CIDs of their first
frames. What they hold is not told, and who asks for it must be trusted as ever.
Timelines that are not announced are never named to strangers.

With --stop they are announced no longer; others in the DHT may go on saying so for up
to 48 hours. Without ADDR the command lists what is announced.`,
		Example: `  ibgib-node provide
  ibgib-node provide 8DA5BBD7C74A
  ibgib-node provide --stop 8DA5BBD7C74A`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if stop && len(args) == 0 {
				return usage(cmd, "--stop wants an ADDR")
			}
			return c.provide(cmd, args, stop)
		},
	}
	cmd.Flags().BoolVar(&stop, "stop", false, "announce them no longer")
	return cmd
}

func (c *cli) provide(cmd *cobra.Command, args []string, stop bool) error {
	addrs, err := c.addrArgs(cmd, args)
	if err != nil {
		return err
	}
	ctx, list := cmd.Context(), []node.Announcement{}
	err = c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		if len(addrs) == 0 {
			list, err = client.Provided(ctx)
			return err
		}
		do := client.Provide
		if stop {
			do = client.Unprovide
		}
		for _, addr := range addrs {
			a, err := do(ctx, addr)
			if err != nil {
				return err
			}
			list = append(list, a)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.print(list, func(w io.Writer) {
		t := newTable(w, "TIMELINE", "CID")
		for _, a := range list {
			t.row(show(a.Tjp), a.CID)
		}
		t.end()
	})
}
