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

func keystoneSignCommand(c *cli) *cobra.Command {
	var target, verb, scope string
	cmd := &cobra.Command{
		Use:   "sign --target ADDR --verb VERB",
		Short: "Sign a claim about an ibGib",
		Long: `Adds a frame to the keystone of this node that claims VERB about ADDR. ADDR need
not be stored. The frame is on disk when its address is printed. The verbs revoke,
rotate and sync are signed by the commands and the node itself.`,
		Example: `  ibgib-node keystone sign --target 'note^HASH' --verb approve
  ibgib-node keystone sign --target 'note^HASH' --verb approve --scope 'board of 2026' --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if target == "" || verb == "" {
				return usage(cmd, "keystone sign wants --target and --verb")
			}
			addr, err := c.addrArg(cmd, target)
			if err != nil {
				return err
			}
			return c.keystoneSign(cmd.Context(), addr, verb, scope)
		},
	}
	cmd.Flags().StringVar(&target, "target", "", "`ADDR` that the claim is about")
	cmd.Flags().StringVar(&verb, "verb", "", "`VERB`, what is claimed")
	cmd.Flags().StringVar(&scope, "scope", "", "`TEXT` that goes with the claim")
	return cmd
}

func (c *cli) keystoneSign(ctx context.Context, target ibgib.Addr, verb, scope string) error {
	return c.signed(ctx, "signed", func(client *api.Client) (node.KeystoneFrame, error) {
		return client.SignKeystone(ctx, target, verb, scope)
	})
}

// signed runs a command that adds one frame to the node's keystone.
func (c *cli) signed(ctx context.Context, what string, sign func(*api.Client) (node.KeystoneFrame, error)) error {
	var f node.KeystoneFrame
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		f, err = sign(client)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(f, func(w io.Writer) { fmt.Fprintf(w, "%s  %s\nframe   %d\n", what, show(f.Addr), f.N) })
}
