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

func pingCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "ping PEER",
		Short: "See whether another node answers, and how fast",
		Long: `Connects the node that runs to PEER, if need be, and sends three messages there and
back. PEER is a multiaddr that ends in /p2p/ and a peer id, or the peer id alone of a
node that was met before or is found in the DHT. Trust does not matter.`,
		Example: `  ibgib-node ping 12D3KooWExample
  ibgib-node ping /ip4/192.0.2.7/tcp/4200/p2p/12D3KooWExample`,
		Args: argsBetween(1, 1, "one PEER"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.ping(cmd.Context(), args[0]) },
	}
}

func (c *cli) ping(ctx context.Context, target string) error {
	var r node.PingResult
	err := c.withDaemon(ctx, func(client *api.Client) (err error) {
		r, err = client.Ping(ctx, target)
		if isCode(err, api.CodeUnreachable) {
			return withHint(err, "does the node run there? on it, ibgib-node id  prints its addresses; name one of them here")
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.print(r, func(w io.Writer) {
		way := ""
		if r.Relayed {
			way = ", relayed"
		}
		for _, d := range r.Times {
			fmt.Fprintf(w, "%s  %s%s\n", d.Round(10*time.Microsecond), printable(r.Addr), way)
		}
	})
}
