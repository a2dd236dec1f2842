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

func stoneCommand(c *cli) *cobra.Command {
	var set string
	var o ibgib.StoneOptions
	cmd := &cobra.Command{
		Use:   "stone IB",
		Short: "Make a constant",
		Long: `Makes an ibGib that never changes and belongs to no timeline, stores it and prints
its address. Equal stones have one address; with --uuid each is its own.

A stone is pinned: it is kept though nothing links to it, and peers get it.

JSON is given as it stands, as @FILE, or as - for standard input.`,
		Example: `  ibgib-node stone 'colour red' --set '{"r":255}'
  ibgib-node stone comment --set @comment.json --uuid
  ibgib-node stone comment --parent text`,
		Args: argsBetween(1, 1, "one IB"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Ib = args[0]; o.Ib == "" {
				return usage(cmd, "IB is empty: give the stone a name")
			}
			if o.Data, err = c.objectArg(cmd.Context(), cmd, "set", set); err != nil {
				return err
			}
			return c.stone(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&set, "set", "", "data of the stone, a `JSON` object")
	cmd.Flags().StringVar(&o.Parent, "parent", "ib", "the `IB` of the primitive that is its ancestor")
	cmd.Flags().BoolVar(&o.UUID, "uuid", false, "put a fresh id into the data")
	c.whereFlags(cmd, true)
	return cmd
}

func (c *cli) stone(ctx context.Context, o ibgib.StoneOptions) error {
	return c.keep(ctx, func(client *api.Client) (node.PutResult, error) { return client.Stone(ctx, o) })
}

// keep stores an ibGib by hand, prints its address, and says what it waits for.
func (c *cli) keep(ctx context.Context, f func(*api.Client) (node.PutResult, error)) error {
	var res node.PutResult
	err := c.withNode(ctx, accessCreate, func(client *api.Client) (err error) {
		res, err = f(client.With(c.where))
		return outsideHint(err, "--include puts them into the share, too")
	})
	if err != nil {
		return err
	}
	for _, a := range res.Missing {
		fmt.Fprintf(c.err, "it waits for %s, which is not stored with all it links to\n", show(a))
	}
	if err := c.print(res, func(w io.Writer) { fmt.Fprintln(w, show(res.Addr)) }); err != nil {
		return err
	}
	if r := res.Rejected; r != nil {
		return problems("it is stored, but kept out of its timeline (%s): %s", r.Rule, r.Detail)
	}
	return nil
}
