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

func keystoneCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keystone",
		Short: "Show, use, replace and check identities",
		Long: `A keystone is an identity: a timeline of hash challenges, of which each frame is
authorised by solutions to those of the frame before. Every node has one of its
own, made at its first start. Its secret is in a file of the data directory that
only its owner may read; given a passphrase (--passphrase-fd, or the systemd
credential ibgib-node-passphrase) when the keystone is made, it is sealed.`,
		Example: `  ibgib-node keystone show
  ibgib-node keystone sign --target 'note^HASH' --verb approve
  ibgib-node keystone export --output me.ndjson
  ibgib-node keystone verify me.ndjson --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, "keystone wants show, list, new, sign, verify, revoke, rotate, settle, export or import")
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(keystoneShowCommand(c), keystoneListCommand(c), keystoneSignCommand(c), keystoneVerifyCommand(c),
		keystoneRevokeCommand(c), keystoneRotateCommand(c), keystoneNewCommand(c), keystoneSettleCommand(c), keystoneExportCommand(c), keystoneImportCommand(c))
	return cmd
}

// keystoneArgs reads the address of a keystone or one of its frames; without an
// argument it is the node's own, the zero Addr.
func (c *cli) keystoneArgs(cmd *cobra.Command, args []string) (ibgib.Addr, error) {
	if len(args) == 0 {
		return ibgib.Addr{}, nil
	}
	return c.keystoneArg(cmd, args[0])
}

func keystoneShowCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "show [ADDR]",
		Short: "Show a keystone, that of this node or another one",
		Long: `Shows the keystone of this node, or the one that ADDR names, its first frame or a
later one. The address of the first frame is what others trust.`,
		Example: `  ibgib-node keystone show
  ibgib-node keystone show 9CA7CB8A06C9
  ibgib-node keystone show 'keystone^HASH' --json`,
		Args: argsBetween(0, 1, "at most one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := c.keystoneArgs(cmd, args)
			if err != nil {
				return err
			}
			return c.keystoneShow(cmd.Context(), addr)
		},
	}
}

func (c *cli) keystoneShow(ctx context.Context, addr ibgib.Addr) error {
	var k node.Keystone
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		k, err = client.Keystone(ctx, addr)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(k, func(w io.Writer) { showKeystone(w, k) })
}

func showKeystone(w io.Writer, k node.Keystone) {
	t := newTable(w)
	t.row("keystone", show(k.Genesis))
	t.row("latest", show(k.Latest))
	t.row("frames", fmt.Sprint(k.Frames))
	t.row("signed", showTime(k.Since))
	t.row("status", k.Status)
	if k.Own {
		t.row("signs", string(k.Signs))
	}
	for _, p := range k.Pools {
		verbs := "any other verb"
		if len(p.Verbs) > 0 {
			verbs = strings.Join(p.Verbs, ", ")
		}
		t.row("pool "+printable(p.ID), fmt.Sprintf("%s for %s", count(p.Free, "challenge"), printable(verbs)))
	}
	for _, e := range k.Evidence {
		t.row("rival", fmt.Sprintf("%s beside %s", show(e.Rival), show(e.Known)))
	}
	for _, a := range k.Previous {
		t.row("before", show(a))
	}
	t.end()
}

func keystoneListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keystones that this node keeps",
		Long:  `Lists the keystones that this node keeps: its own, marked by a star, and others.`,
		Example: `  ibgib-node keystone list
  ibgib-node keystone list --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.withNode(ctx, accessExisting, func(client *api.Client) error {
				return printList(c, client.Keystones(ctx), "no keystones", []string{"", "FRAMES", "STATUS", "KEYSTONE"}, func(k node.Keystone) []string {
					own := ""
					if k.Own {
						own = "*"
					}
					return []string{own, fmt.Sprint(k.Frames), k.Status, show(k.Genesis)}
				})
			})
		},
	}
}

func keystoneSettleCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "settle ADDR",
		Short: "Decide that a disputed keystone is good after all",
		Long: `Ends the dispute about a keystone of which two different frames follow the same
one: the frames that this node has hold, the other one stays as evidence. Do this
when its owner has explained how it came about, such as by a restored backup. Trust
that was withdrawn has to be given again.`,
		Example: `  ibgib-node keystone settle 'keystone^HASH'`,
		Args:    argsBetween(1, 1, "one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := c.keystoneArg(cmd, args[0])
			if err != nil {
				return err
			}
			return c.keystoneSettle(cmd.Context(), addr)
		},
	}
}

func (c *cli) keystoneSettle(ctx context.Context, addr ibgib.Addr) error {
	var k node.Keystone
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		k, err = client.SettleKeystone(ctx, addr)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(k, func(w io.Writer) { showKeystone(w, k) })
}
