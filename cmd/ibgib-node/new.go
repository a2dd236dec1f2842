package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func newCommand(c *cli) *cobra.Command {
	var set, parent string
	var links []string
	cmd := &cobra.Command{
		Use:   "new IB",
		Short: "Start a timeline",
		Long: `Starts a timeline with that ib and prints the address of its newest frame. Data
and links are further frames on top of the first one.

JSON is given as it stands, as @FILE, or as - for standard input.

With --share it is in that share alone; see share.`,
		Example: `  ibgib-node new note
  ibgib-node new note --set '{"text":"hello"}'
  ibgib-node new note --set @note.json --rel8 topic='garden^gib'
  ibgib-node new note --parent document
  ibgib-node new diary --share family`,
		Args: argsBetween(1, 1, "one IB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if args[0] == "" {
				return usage(cmd, "IB is empty: give the timeline a name")
			}
			o := ibgib.FirstGenOptions{Ib: args[0]}
			var err error
			if o.Data, err = c.objectArg(ctx, cmd, "set", set); err != nil {
				return err
			}
			if o.Rel8ns, err = linkArgs(cmd, "rel8", links); err != nil {
				return err
			}
			from, err := parentArg(cmd, parent)
			if err != nil {
				return err
			}
			return c.new(ctx, from, o)
		},
	}
	cmd.Flags().StringVar(&set, "set", "", "data of the timeline, a `JSON` object")
	cmd.Flags().StringArrayVar(&links, "rel8", nil, "a link, `NAME=ADDR` (repeatable)")
	cmd.Flags().StringVar(&parent, "parent", "", "what the first frame is forked from: an address, or the `IB` of a primitive (default ib^gib)")
	c.whereFlags(cmd, true)
	return cmd
}

// parentArg reads an address, or the ib of a primitive; zero for no text.
func parentArg(cmd *cobra.Command, text string) (ibgib.Addr, error) {
	if text == "" {
		return ibgib.Addr{}, nil
	}
	if !strings.Contains(text, "^") {
		text += "^gib"
	}
	return exactAddr(cmd, text)
}

func (c *cli) new(ctx context.Context, parent ibgib.Addr, o ibgib.FirstGenOptions) error {
	return c.change(ctx, accessCreate, func(client *api.Client) (node.Change, error) {
		return client.Create(ctx, parent, o)
	})
}

// change makes a change and prints the address of the new frame.
func (c *cli) change(ctx context.Context, need access, f func(*api.Client) (node.Change, error)) error {
	var made node.Change
	err := c.withNode(ctx, need, func(client *api.Client) (err error) {
		made, err = f(client.With(c.where))
		return outsideHint(err, "--include puts them into the share, too")
	})
	if err != nil {
		return err
	}
	return c.print(made, func(w io.Writer) { fmt.Fprintln(w, show(made.Addr)) })
}
