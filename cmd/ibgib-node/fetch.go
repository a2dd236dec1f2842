package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func fetchCommand(c *cli) *cobra.Command {
	var o node.FetchOptions
	cmd := &cobra.Command{
		Use:   "fetch ADDR",
		Short: "Get an ibGib that is known by its address, with all that it links to",
		Long: `Gets the ibGib ADDR and all that it links to, once, from nodes that need not be
trusted: those that announce its timeline in the DHT, and trusted ones that are
connected; or, with --from, those that are named and no others. Several are asked at the
same time. Every ibGib is checked by its hash, and none is taken that ADDR does not lead
to. When all of it is here, and not before, ADDR becomes the head of its timeline.

ADDR is exact: of a timeline what came before that frame comes, and nothing later. It
has to be whole, since an address is all that this node knows.

A node that gives something else than what it was asked for is left out for a week, one
that says nothing, or by far less than another one, is asked last for an hour, and the
fetch goes on with the others. What has come when it is cut is kept for a week; the same
command goes on from there.

Exit code 3 says that nobody was found who shows it.`,
		Example: `  ibgib-node fetch 'note^8DA5BBD7C74A8A14DEE4D5D321138A0B0976722A6E5DD75326C52EB41B4E5F97'
  ibgib-node fetch 'note^HASH.TJPHASH' --from /ip4/192.0.2.7/tcp/4200/p2p/12D3KooWExample`,
		Args: argsBetween(1, 1, "one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := c.addrArg(cmd, args[0])
			if isCode(err, api.CodeNotFound) {
				return withHint(err, "the first digits stand for what is stored here only; of anything else fetch needs the whole address, ib^gib")
			}
			if err != nil {
				return err
			}
			return c.fetch(cmd.Context(), addr, o)
		},
	}
	cmd.Flags().StringArrayVar(&o.From, "from", nil, "ask that node and no others, `PEER` (repeatable)")
	return cmd
}

func (c *cli) fetch(ctx context.Context, addr ibgib.Addr, o node.FetchOptions) error {
	var result node.FetchResult
	err := c.withNode(ctx, accessCreate, func(client *api.Client) (err error) {
		bar := c.newProgress()
		defer bar.clear()
		result, err = client.Fetch(ctx, addr, o, func(p node.FetchProgress) {
			bar.show(0, 0, "%s from %s, %s", count(p.IbGibs, "ibGib"), count(p.Peers, "node"), showBytes(p.Bytes))
		})
		return err
	})
	switch {
	case isCode(err, api.CodeNotFound) && len(o.From) == 0:
		return withHint(err, "somebody who has it shows it to others with:\nibgib-node provide ADDR")
	case isCode(err, api.CodeNotFound):
		return withHint(err, "its owner shows it to others with:\nibgib-node provide ADDR\nor ask others: leave --from out")
	case isCode(err, api.CodeUnreachable) && len(o.From) == 0:
		return withHint(err, "what has come is kept: fetch it again later; ibgib-node doctor%s  tells whether this node is in the DHT", c.dataFlag())
	case isCode(err, api.CodeUnreachable):
		return withHint(err, "what has come is kept: fetch it again later, or from others: leave --from out")
	case isCode(err, api.CodeUnsupported) && len(o.From) == 0:
		return withHint(err, "or name a node that has it, with --from")
	case err != nil:
		return err
	}
	return c.print(result, func(w io.Writer) { showFetch(w, result) })
}

func showFetch(w io.Writer, r node.FetchResult) {
	t := newTable(w)
	t.row("fetched", show(r.Addr))
	t.row("received", count(r.IbGibs, "ibGib")+", "+showBytes(r.Bytes))
	state := "it was here already, or below a later frame"
	if r.Moved {
		state = "it is a head now"
	}
	t.row("state", state)
	t.end()
	for _, s := range r.Sources {
		how := ""
		if s.Error != "" {
			how = ": " + printable(s.Error)
		}
		if s.Mark != "" {
			how += " (avoided from now on: it " + printable(s.Mark) + ")"
		}
		fmt.Fprintf(w, "from  %s  %s%s\n", printable(s.Peer), count(s.IbGibs, "ibGib"), how)
	}
	for _, r := range r.Rejected {
		fmt.Fprintf(w, "kept out  %s\n  %s: %s\n", show(r.Addr), printable(r.Rule), printable(r.Detail))
	}
}
