package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func trustCommand(c *cli) *cobra.Command {
	var introducer, introduce bool
	cmd := &cobra.Command{
		Use:   "trust PEERID|INVITE",
		Short: "Trust another node",
		Long: `Trusts the node with that peer id: it may sync with this one, in both
directions. Its owner has to trust this node too. With a whole address of it a
node that runs connects to it at once, and again when the connection is lost.

With an INVITE, which ibgib-node invite prints there, both nodes trust each other
at once. The other one has to run.

It prints six words made from the peer ids of both nodes. The other owner sees the
same ones in ibgib-node peers; if not, untrust it again: it is not the node that
you think.`,
		Example: `  ibgib-node trust 12D3KooWExample
  ibgib-node trust /ip4/192.0.2.7/tcp/4200/p2p/12D3KooWExample
  ibgib-node trust ibgib-invite:EXAMPLE
  ibgib-node trust 12D3KooWExample --introducer
  ibgib-node trust 12D3KooWExample --introduce`,
		Args: argsBetween(1, 1, "one PEERID or INVITE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var o node.Introductions
			if cmd.Flags().Changed("introducer") {
				o.Introducer = &introducer
			}
			if cmd.Flags().Changed("introduce") {
				o.Introduce = &introduce
			}
			return c.trust(cmd.Context(), args[0], o)
		},
	}
	cmd.Flags().BoolVar(&introducer, "introducer", false, "trust whom it vouches for (=false: no longer)")
	cmd.Flags().BoolVar(&introduce, "introduce", false, "let it know whom this node trusts (=false: no longer)")
	return cmd
}

func (c *cli) trust(ctx context.Context, who string, o node.Introductions) error {
	var peer node.Peer
	err := c.withNode(ctx, accessCreate, func(client *api.Client) (err error) {
		switch {
		case node.IsInvite(who):
			peer, err = client.Accept(ctx, who)
			err = c.inviteHint(ctx, client, err)
		case endsIntroductions(o): // which gives no trust to who has none
			peer, err = client.SetIntroductions(ctx, who, o)
			return err
		default:
			peer, err = client.Trust(ctx, who)
		}
		if err == nil && o != (node.Introductions{}) {
			peer, err = client.SetIntroductions(ctx, peer.PeerID, o)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.print(peer, func(w io.Writer) {
		fmt.Fprintf(w, "trusted  %s\nwords    %s\n", peer.PeerID, peer.Words)
		if !peer.Keystone.IsZero() {
			fmt.Fprintf(w, "keystone %s\n", show(peer.Keystone))
		}
		if peer.Introducer {
			fmt.Fprintln(w, "whom it vouches for is trusted as well")
		}
		if peer.Introduce {
			fmt.Fprintln(w, "it is told whom this node trusts")
		}
	})
}

// inviteHint says what to do about an invite that was not redeemed.
func (c *cli) inviteHint(ctx context.Context, client *api.Client, err error) error {
	switch {
	case isCode(err, api.CodeUnreachable):
		return withHint(err, "the node that made the invite has to run; while it does, make another one there, which names its addresses:\nibgib-node run\nibgib-node invite")
	case isCode(err, api.CodeUntrusted):
		id, idErr := client.ID(ctx)
		if idErr != nil {
			return err
		}
		return withHint(err, "an invite is good for one node and for 24 hours; make another one there:\nibgib-node invite\nif that node has withdrawn trust from this one, run there:\nibgib-node trust %s", id.PeerID)
	}
	return err
}

// endsIntroductions tells whether something is to end and nothing to begin.
func endsIntroductions(o node.Introductions) bool {
	on := func(b *bool) bool { return b != nil && *b }
	return o != (node.Introductions{}) && !on(o.Introducer) && !on(o.Introduce)
}

// peerOf returns the peer id that an address ends in, and any other text as it is.
func peerOf(s string) string {
	if i := strings.LastIndex(s, "/p2p/"); i >= 0 {
		return s[i+len("/p2p/"):]
	}
	return s
}
