package main

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func getCommand(c *cli) *cobra.Command {
	var pick framePick
	cmd := &cobra.Command{
		Use:   "get ADDR...",
		Short: "Print ibGibs",
		Long: `Prints ibGibs as indented JSON, or with --json each on one line, exactly as it is
hashed and stored. Bytes are shown in base64.

With --latest or --n, ADDR is the tjp or any frame of a timeline, and another
frame of it is printed: the latest one, or the one with that number.`,
		Example: `  ibgib-node get 'note^HASH.TJPGIB'
  ibgib-node get --latest 'note^HASH'
  ibgib-node get --n 0 'note^HASH' --json`,
		Args: argsBetween(1, -1, "at least one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addrs, err := c.addrArgs(cmd, args)
			if err != nil {
				return err
			}
			pick.byN = cmd.Flags().Changed("n")
			if pick.byN && pick.latest {
				return usage(cmd, "--latest and --n exclude each other")
			}
			if pick.n < 0 {
				return usage(cmd, "--n is a number from 0")
			}
			return c.get(cmd.Context(), addrs, pick)
		},
	}
	cmd.Flags().BoolVar(&pick.latest, "latest", false, "print the latest frame of the timeline")
	cmd.Flags().Int64Var(&pick.n, "n", 0, "print the frame with number `N`")
	return cmd
}

// framePick names a frame of a timeline other than the one given.
type framePick struct {
	latest, byN bool
	n           int64 // with byN
}

func (p framePick) pick(ctx context.Context, client *api.Client, addr ibgib.Addr) (ibgib.Addr, error) {
	switch {
	case p.latest:
		t, err := client.Latest(ctx, addr)
		return t.Latest, err
	case p.byN:
		var f node.Frame
		f, err := client.FrameAt(ctx, addr, p.n)
		return f.Addr, err
	}
	return addr, nil
}

func (c *cli) get(ctx context.Context, addrs []ibgib.Addr, pick framePick) error {
	out := c.safeOut()
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		for _, addr := range addrs {
			addr, err := pick.pick(ctx, client, addr)
			if err != nil {
				return err
			}
			g, err := client.Get(ctx, addr)
			if err != nil {
				return err
			}
			text := g.AppendJSON(nil)
			if !c.json {
				var b bytes.Buffer
				if err := json.Indent(&b, text, "", "  "); err != nil {
					return err
				}
				text = printableJSON(b.Bytes())
			}
			if _, err := out.Write(append(text, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
}
