package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func keystoneRevokeCommand(c *cli) *cobra.Command {
	var reason string
	var yes bool
	cmd := &cobra.Command{
		Use:   "revoke --yes",
		Short: "End the keystone of this node, for good",
		Long: `Ends the keystone of this node: it authorises nothing any more, for anybody who
sees the frame that is added. There is no way back. keystone new then gives the
node another identity, which others have to trust anew; keystone rotate does both,
in a way that others can follow.`,
		Example: `  ibgib-node keystone revoke --yes --reason 'the laptop was stolen'`,
		Args:    noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usage(cmd, "keystone revoke cannot be undone: say --yes")
			}
			ctx := cmd.Context()
			return c.signed(ctx, "revoked", func(client *api.Client) (node.KeystoneFrame, error) {
				return client.RevokeKeystone(ctx, reason)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, for good")
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` that says why, which others can read")
	return cmd
}

func keystoneRotateCommand(c *cli) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Give this node a new keystone that takes the place of the old one",
		Long: `Makes a new keystone with a new secret, lets the old one name it as its successor,
and revokes the old one. It also works in a data directory that was restored or
copied, where nothing else is signed.`,
		Example: `  ibgib-node keystone rotate
  ibgib-node keystone rotate --reason 'a new disk'`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.replaced(ctx, func(client *api.Client) (node.KeystoneRotation, error) {
				return client.RotateKeystone(ctx, reason)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` that says why, which others can read")
	return cmd
}

func keystoneNewCommand(c *cli) *cobra.Command {
	var giveUp bool
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Give this node a new keystone when the old one cannot sign",
		Long: `Makes a new keystone for a node whose old one is revoked or disputed, or whose
secret is lost. Others have to trust it anew. While the old one works, rotate is
the way. A secret of which the passphrase is forgotten is given up with --yes. The
new secret is sealed if a passphrase is given.`,
		Example: `  ibgib-node keystone new
  ibgib-node keystone new --yes`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.replaced(ctx, func(client *api.Client) (node.KeystoneRotation, error) {
				return client.NewKeystone(ctx, giveUp)
			})
		},
	}
	cmd.Flags().BoolVar(&giveUp, "yes", false, "also give up a secret that is sealed or not confirmed, for good")
	return cmd
}

// replaced runs a command that puts a new keystone in the place of the node's.
func (c *cli) replaced(ctx context.Context, replace func(*api.Client) (node.KeystoneRotation, error)) error {
	var r node.KeystoneRotation
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		r, err = replace(client)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(r, func(w io.Writer) {
		fmt.Fprintf(w, "old  %s\nnew  %s\n", show(r.Old), show(r.New))
		if r.Handover.IsZero() {
			fmt.Fprintln(c.err, "others have to trust the new keystone")
		}
	})
}
