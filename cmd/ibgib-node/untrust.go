package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node/api"
)

func untrustCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "untrust PEERID",
		Short: "Withdraw trust from another node",
		Long: `Trusts a node no longer: it cannot sync with this one any more. What it has
already stays with it. That it knows the mesh secret does not help it from now
on; ibgib-node trust does.`,
		Example: `  ibgib-node untrust 12D3KooWExample`,
		Args:    argsBetween(1, 1, "one PEERID"),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.untrust(cmd.Context(), args[0]) },
	}
}

type untrustResult struct {
	PeerID  string `json:"peerId"`
	Trusted bool   `json:"trusted"`
}

func (c *cli) untrust(ctx context.Context, who string) error {
	result := untrustResult{PeerID: peerOf(who)}
	err := c.withNode(ctx, accessExisting, func(client *api.Client) error {
		return client.Untrust(ctx, result.PeerID)
	})
	if err != nil {
		return err
	}
	return c.print(result, func(w io.Writer) { fmt.Fprintf(w, "untrusted  %s\n", printable(result.PeerID)) })
}
