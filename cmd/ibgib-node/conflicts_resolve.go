package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func conflictsResolveCommand(c *cli) *cobra.Command {
	var o resolveOptions
	cmd := &cobra.Command{
		Use:   "resolve ADDR [NEWIB]",
		Short: "End the divergence of a timeline, or choose what is shown meanwhile",
		Long: `Ends the divergence of a timeline for all nodes with --keep, --merge or --fork, or
chooses with --pin which of its heads this node shows as the latest. ADDR is the
tjp or any frame.

--keep adds a frame to the timeline that follows one of its heads, has the same
data and links, and takes the other heads into its history, and prints its
address. The frame travels with the next sync, and ends the conflict on the other
nodes too. Nothing of the other branches is lost, but what they changed is no
longer shown; log --graph, conflicts show and get lead to it. All other heads are
settled so, however many there are; one that this node does not have yet is not.

--merge does the same with what the merge of all heads comes to: where branches are
left to a person, this accepts the merge; where they are merged by themselves, it
fixes the result, whatever older change arrives later.

--fork gives one head a timeline of its own, which begins with its data and links
under the ib NEWIB. The other head is kept; of several, --keep says which one is, and
all others are settled, or --merge takes them all, the forked one included.

--pin adds nothing, and other nodes do not learn of it: get --latest, log and
heads show the branch of that head from now on, and changes made here go on top
of it. When the branch grows, its newest frame is the latest. The pin ends with
--unpin, and when the conflict does.`,
		Example: `  ibgib-node conflicts resolve 'note^HASH' --keep 'note^HASH.TJPGIB'
  ibgib-node conflicts resolve 'note^HASH' --merge
  ibgib-node conflicts resolve 'note^HASH' --fork 'note^HASH.TJPGIB' 'note of mine'
  ibgib-node conflicts resolve 'note^HASH' --pin 'note^HASH.TJPGIB'
  ibgib-node conflicts resolve 'note^HASH' --unpin`,
		Args: argsBetween(1, 2, "one ADDR, with --fork also a NEWIB"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.resolve(cmd, args, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.keep, "keep", "", "the head `ADDR` that is to go on, on all nodes")
	f.BoolVar(&o.merge, "merge", false, "the merge of all heads is to go on, on all nodes")
	f.StringVar(&o.fork, "fork", "", "the head `ADDR` that becomes a timeline of its own")
	f.StringVar(&o.pin, "pin", "", "the head `ADDR` that is shown on this node")
	f.BoolVar(&o.unpin, "unpin", false, "show what would be shown without a pin")
	return cmd
}

// resolveOptions are the flags of conflicts resolve.
type resolveOptions struct {
	keep, fork, pin string
	merge, unpin    bool
}

func (c *cli) resolve(cmd *cobra.Command, args []string, o resolveOptions) error {
	ends := o.keep != "" || o.merge || o.fork != ""
	ways := 0
	for _, way := range []bool{ends, o.pin != "", o.unpin} {
		if way {
			ways++
		}
	}
	switch {
	case ways != 1:
		return usage(cmd, "resolve wants one of --keep, --merge, --fork, --pin and --unpin")
	case o.keep != "" && o.merge:
		return usage(cmd, "either --keep or --merge")
	case len(args) == 2 && o.fork == "":
		return usage(cmd, "resolve wants one ADDR; %q would be the ib of a new timeline, which --fork makes", args[1])
	case len(args) < 2 && o.fork != "":
		return usage(cmd, "--fork and the ib of the new timeline go together")
	}
	ctx := cmd.Context()
	addr, err := c.addrArg(cmd, args[0])
	if err != nil {
		return err
	}
	head := func(flag string) (ibgib.Addr, error) {
		if flag == "" {
			return ibgib.Addr{}, nil
		}
		return c.addrArg(cmd, flag)
	}
	if !ends {
		pin, err := head(o.pin)
		if err != nil {
			return err
		}
		return c.pin(ctx, addr, pin)
	}
	r := node.Resolution{Merge: o.merge}
	if r.Keep, err = head(o.keep); err != nil {
		return err
	}
	if r.Fork, err = head(o.fork); err != nil {
		return err
	}
	if o.fork != "" {
		r.ForkIb = args[1]
	}
	var done node.Resolved
	err = c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		done, err = client.Resolve(ctx, addr, r)
		return err
	})
	if err != nil {
		return c.resolveHint(err, addr, r)
	}
	return c.print(done, func(w io.Writer) {
		fmt.Fprintln(w, show(done.Addr))
		if !done.Forked.IsZero() {
			fmt.Fprintln(w, show(done.Forked))
		}
	})
}

// resolveHint says what to do when a conflict could not be resolved.
func (c *cli) resolveHint(err error, addr ibgib.Addr, r node.Resolution) error {
	e, ok := errors.AsType[*api.Error](err)
	switch {
	case !ok:
		return err
	case r.Merge && e.Code == api.CodeRefused:
		return withHint(err, "keep one of the heads instead:\nibgib-node conflicts resolve '%s' --keep HEAD%s", show(addr), c.dataFlag())
	case e.Code == api.CodeBadRequest:
		return withHint(err, "--keep HEAD keeps a head, --merge the merge of all; this shows them:\nibgib-node conflicts show '%s'%s", show(addr), c.dataFlag())
	case e.Code == api.CodeNotFound:
		return withHint(err, "this tells how the timeline stands:\nibgib-node why '%s'%s", show(addr), c.dataFlag())
	}
	return err
}

// pin pins a head, or no head if it is zero, and prints what is shown now.
func (c *cli) pin(ctx context.Context, addr, head ibgib.Addr) error {
	var conflict node.Conflict
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		if head.IsZero() {
			conflict, err = client.Unpin(ctx, addr)
		} else {
			conflict, err = client.Pin(ctx, addr, head)
		}
		return err
	})
	if err != nil {
		return c.resolveHint(err, addr, node.Resolution{Keep: head})
	}
	return c.print(conflict, func(w io.Writer) { fmt.Fprintln(w, show(conflict.Latest)) })
}
