package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func provideCommand(c *cli) *cobra.Command {
	var stop bool
	cmd := &cobra.Command{
		Use:   "provide [ADDR...]",
		Short: "Make timelines public, or list those that are",
		Long: `Makes the timelines of the given addresses public: from now on a node that runs
announces them in the DHT, if it takes part in one, under the CIDs of their first frames,
and shows them to everybody who asks for the exact address of a frame (fetch): all that
came before that frame, with the constants that these link to. Nobody is told which
frames there are. What they link to in timelines that are not public is not shown, so
such a frame can be fetched by nobody until these are provided too. All other nodes have
to be trusted to get anything, as ever.

With --stop they are not public any more; what others have got stays with them, and the
DHT may go on naming this node for up to 48 hours. Without ADDR the command lists what is
public.`,
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
	cmd.Flags().BoolVar(&stop, "stop", false, "make them public no longer")
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
	if stop {
		return c.print(list, func(w io.Writer) {
			for _, a := range list {
				fmt.Fprintf(w, "not public any more  %s\n", show(a.Tjp))
			}
		})
	}
	return printList(c, each(list), "nothing is public: ibgib-node provide ADDR makes a timeline so", []string{"TIMELINE", "CID"},
		func(a node.Announcement) []string { return []string{show(a.Tjp), a.CID} })
}
