package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func forgetCommand(c *cli) *cobra.Command {
	var list, undo bool
	cmd := &cobra.Command{
		Use:   "forget ADDR",
		Short: "Stop a timeline here, and keep it from coming back",
		Long: `Takes a timeline, or a constant, out of all shares of this node. It is shown no
longer, goes to nobody, and does not come back from those that have it, who keep it.
gc frees what nothing else links to.

--list lists what is forgotten; --undo ends it: what is still stored is shown again,
and syncs bring the rest, from who is connected at once.`,
		Example: `  ibgib-node forget 8DA5BBD7C74A
  ibgib-node forget --list
  ibgib-node forget --undo 'note^HASH'`,
		Args: argsBetween(0, 1, "one ADDR, or --list"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case list && (undo || len(args) > 0):
				return usage(cmd, "--list goes alone")
			case list:
				return c.forgotten(cmd)
			case len(args) == 0:
				return usage(cmd, "forget wants an ADDR, or --list")
			}
			return c.forget(cmd, args[0], undo)
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "list what is forgotten")
	cmd.Flags().BoolVar(&undo, "undo", false, "forget it no longer")
	return cmd
}

func (c *cli) forgotten(cmd *cobra.Command) error {
	return c.withNode(cmd.Context(), accessExisting, func(client *api.Client) error {
		list, err := client.Forgotten(cmd.Context())
		if err != nil {
			return err
		}
		return printList(c, each(list), "nothing is forgotten", []string{"SINCE (UTC)", "TIMELINE"},
			func(f node.ForgottenTimeline) []string { return []string{showTime(f.At), show(f.Tjp)} })
	})
}

func (c *cli) forget(cmd *cobra.Command, text string, undo bool) error {
	addr, err := c.addrArg(cmd, text)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if undo {
		return c.withNode(ctx, accessExisting, func(client *api.Client) error { return client.Remember(ctx, addr) })
	}
	var f node.ForgottenTimeline
	err = c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		f, err = client.Forget(ctx, addr)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(f, func(w io.Writer) { fmt.Fprintf(w, "forgotten  %s\n", show(f.Tjp)) })
}
