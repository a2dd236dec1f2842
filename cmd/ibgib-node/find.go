package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func findCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "find ADDR",
		Short: "Find nodes that have a timeline",
		Long: `Searches the DHT for nodes that announce the timeline of ADDR, the address of any of
its frames, and prints them: peer id and addresses. It takes up to a minute. What they
have is what they say; that it is right is checked when it comes (fetch). Of one that did not
give what was fetched from it the list says that it lied, or failed.

It needs a node that runs and takes part in a DHT (run --bootstrap). It ends with exit
code 3 if nobody is found.`,
		Example: `  ibgib-node find 'note^8DA5BBD7C74A8A14DEE4D5D321138A0B0976722A6E5DD75326C52EB41B4E5F97'`,
		Args:    argsBetween(1, 1, "one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := c.addrArg(cmd, args[0])
			if err != nil {
				return err
			}
			return c.find(cmd.Context(), addr)
		},
	}
}

func (c *cli) find(ctx context.Context, addr ibgib.Addr) error {
	var found []node.Provider
	err := c.withDaemon(ctx, func(client *api.Client) (err error) {
		found, err = client.Find(ctx, addr)
		return err
	})
	if isCode(err, api.CodeUnreachable) {
		return withHint(err, "ibgib-node doctor%s  tells what is wrong", c.dataFlag())
	}
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return withHint(&statusError{exitNotFound, "nobody was found who announces the timeline of " + show(addr)},
			"somebody who has it makes it known with:\nibgib-node provide ADDR")
	}
	return c.print(found, func(w io.Writer) {
		t := newTable(w, "PEER", "TRUSTED", "ADDRESSES")
		for _, p := range found {
			trusted := "no"
			switch {
			case p.Trusted:
				trusted = "yes"
			case p.Mark != nil:
				trusted = "no, " + printable(p.Mark.Kind)
			}
			t.row(p.PeerID, trusted, printable(strings.Join(p.Addrs, " ")))
		}
		t.end()
	})
}
