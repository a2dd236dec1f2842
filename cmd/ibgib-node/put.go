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

func putCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "put [FILE|-|JSON]",
		Short: "Store one ibGib as it is",
		Long: `Stores one ibGib, a JSON object {"ib", "gib", "data", "rel8ns"}, and prints its
address. A missing gib is computed, a given one must fit. It is read from FILE,
from standard input with - or without an argument, or is the argument itself.

An ibGib of no timeline is pinned: it is kept though nothing links to it, and
peers get it. That is the difference to import, which reads many and pins none.

Exit code 1 says that it was refused, or kept out of its timeline.`,
		Example: `  ibgib-node put '{"ib":"greeting","data":{"text":"hello"}}'
  ibgib-node put greeting.json
  ibgib-node get 'note^HASH' --data other | ibgib-node put -
  ibgib-node put < greeting.json`,
		Args: argsBetween(0, 1, "one FILE, JSON text, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.put(cmd.Context(), cmd, append(args, "-")[0])
		},
	}
	c.whereFlags(cmd, true)
	return cmd
}

// maxIbGib bounds the JSON text of one ibGib in bytes: the largest bytes payload
// in base64, and room for the rest.
const maxIbGib = ibgib.MaxBytesSize/3*4 + 16<<20

func (c *cli) put(ctx context.Context, cmd *cobra.Command, from string) error {
	text := []byte(from)
	if !strings.HasPrefix(strings.TrimSpace(from), "{") {
		in, err := c.open(ctx, from)
		if err != nil {
			return err
		}
		defer in.Close()
		if text, err = io.ReadAll(io.LimitReader(in, maxIbGib+1)); err != nil {
			return err
		}
		if len(text) > maxIbGib {
			return problems("%q is over the limit of %d bytes for one ibGib; import reads files of many", from, maxIbGib)
		}
	}
	// What is wrong with it is known without a data directory.
	if _, err := ibgib.Gib(text); err != nil {
		return err
	}
	return c.keep(ctx, func(client *api.Client) (node.PutResult, error) { return client.Put(ctx, text) })
}
