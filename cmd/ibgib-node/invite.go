package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func inviteCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "invite",
		Short: "Make an invite by which another node and this one trust each other",
		Long: `Prints an invite, one word. Give it to the owner of another node by a way that
nobody else sees: ibgib-node trust INVITE there makes both nodes trust each other,
if this one runs and can be reached. An invite is good for one node and for 24
hours. It holds a secret, of which only a proof travels between the nodes.`,
		Example: `  ibgib-node invite
  ibgib-node invite --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.invite(cmd.Context()) },
	}
}

func (c *cli) invite(ctx context.Context) error {
	var i node.Invite
	running := false
	err := c.withNode(ctx, accessCreate, func(client *api.Client) (err error) {
		if i, err = client.Invite(ctx); err != nil {
			return err
		}
		s, err := client.Status(ctx)
		running = s.Running
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case len(i.Addrs) == 0 && running:
		fmt.Fprintln(c.err, "the invite names no address, since this node listens nowhere: the other one has to find it on the local network or in the DHT")
	case len(i.Addrs) == 0:
		fmt.Fprintf(c.err, "the invite names no address, since no node has run on this directory yet. Start it, and make another invite then:\n  ibgib-node run%s\n"+
			"With this one, the other node has to find this one on the local network or in the DHT.\n", c.dataFlag())
	case !running:
		fmt.Fprintf(c.err, "no node runs on this directory; it has to when the invite is redeemed, at the same addresses as the last time:\n  ibgib-node run%s\n", c.dataFlag())
	}
	return c.print(i, func(w io.Writer) {
		fmt.Fprintln(w, i.Text)
		fmt.Fprintf(c.err, "good until %s UTC, for one node; on that one:\n  ibgib-node trust INVITE\n", i.Expires.UTC().Format(time.DateTime))
	})
}
