package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func shareAddCommand(c *cli) *cobra.Command {
	var o node.AddOptions
	cmd := &cobra.Command{
		Use:   "add NAME ADDR",
		Short: "Put a timeline into a share",
		Long: `Puts a timeline, with all its heads and what they link to, or a constant into a
share. It stays in the default share as well, which goes to every trusted node,
unless --move takes it out of there; what others have got by then stays with them.
A change goes to all shares that list a timeline.

If it links to timelines that the share does not list, it is refused with their
list; --include puts them into the share, too.`,
		Example: `  ibgib-node share add family 8DA5BBD7C74A
  ibgib-node share add family 'note^HASH' --move --include`,
		Args: argsBetween(2, 2, "NAME and ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.shareAdd(cmd, args[0], args[1], o) },
	}
	cmd.Flags().BoolVar(&o.Include, "include", false, "put the timelines that it links to into the share, too")
	cmd.Flags().BoolVar(&o.Move, "move", false, "take it out of the default share")
	return cmd
}

func (c *cli) shareAdd(cmd *cobra.Command, name, text string, o node.AddOptions) error {
	addr, err := c.addrArg(cmd, text)
	if err != nil {
		return err
	}
	var change node.ShareChange
	err = c.withNode(cmd.Context(), accessExisting, func(client *api.Client) (err error) {
		change, err = client.AddToShare(cmd.Context(), name, addr, o)
		return outsideHint(err, "--include puts them into the share, too")
	})
	if err != nil {
		return err
	}
	if len(change.In) == 0 {
		return c.print(change, func(w io.Writer) {
			fmt.Fprintf(w, "added  %s\nit is not stored here; syncs with members bring it\n", show(change.Tjp))
		})
	}
	return c.print(change, func(w io.Writer) { showShareChange(w, "added", change) })
}

// outsideHint says what to do about an error that lists timelines outside a share.
func outsideHint(err error, hint string) error {
	if isCode(err, api.CodeOutside) {
		return withHint(err, "%s", hint)
	}
	return err
}

func showShareChange(w io.Writer, done string, change node.ShareChange) {
	t := newTable(w)
	t.row(done, show(change.Tjp))
	for _, a := range change.Included {
		t.row("with", show(a))
	}
	t.row("in", inShares(change.In))
	t.end()
}

func shareRemoveCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME ADDR",
		Short: "Take a timeline out of a share here",
		Long: `Takes a timeline, or a constant, out of a share on this node, and keeps it out: what
members do with it does not come back. They keep it. It stays in other shares; if
none lists it, gc frees it, a week after it came. share add puts it back.`,
		Example: `  ibgib-node share remove family 8DA5BBD7C74A
  ibgib-node share remove default 'note^HASH'`,
		Args: argsBetween(2, 2, "NAME and ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := c.addrArg(cmd, args[1])
			if err != nil {
				return err
			}
			var change node.ShareChange
			err = c.withNode(cmd.Context(), accessExisting, func(client *api.Client) (err error) {
				change, err = client.RemoveFromShare(cmd.Context(), args[0], addr)
				return err
			})
			if err != nil {
				return err
			}
			return c.print(change, func(w io.Writer) { showShareChange(w, "removed", change) })
		},
	}
}

// whereFlags adds the flags that say where a change goes; share only where something
// new is made.
func (c *cli) whereFlags(cmd *cobra.Command, share bool) {
	if share {
		cmd.Flags().StringVar(&c.where.Share, "share", "", "make it in the share `NAME` (default: the default share)")
	}
	cmd.Flags().BoolVar(&c.where.Include, "include", false, "put timelines that it links to into the shares that it goes to")
}
