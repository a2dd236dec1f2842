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

func keystoneExportCommand(c *cli) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "export [ADDR]",
		Short: "Write the frames of a keystone",
		Long: `Writes the frames of the keystone of this node, or of the one that ADDR names, one
a line, oldest first. They are public: the secret is not among them.`,
		Example: `  ibgib-node keystone export --output me.ndjson
  ibgib-node keystone export 'keystone^HASH'`,
		Args: argsBetween(0, 1, "at most one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := c.keystoneArgs(cmd, args)
			if err != nil {
				return err
			}
			if output == "" {
				return usage(cmd, "--output needs the name of a file, or - for standard output")
			}
			return c.keystoneExport(cmd.Context(), addr, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", stdio, "write to `FILE`, which appears only when it is complete; - is standard output")
	return cmd
}

type keystoneExportResult struct {
	Frames int `json:"frames"`
}

func (c *cli) keystoneExport(ctx context.Context, addr ibgib.Addr, output string) error {
	var result keystoneExportResult
	write := func(w io.Writer) error {
		return c.withNode(ctx, accessExisting, func(client *api.Client) error {
			for g, err := range client.KeystoneFrames(ctx, addr) {
				if err != nil {
					return err
				}
				if _, err := w.Write(append(g.AppendJSON(nil), '\n')); err != nil {
					return err
				}
				result.Frames++
			}
			return nil
		})
	}
	if output == stdio {
		return write(c.safeOut())
	}
	if err := writeFile(output, write); err != nil {
		return err
	}
	return c.print(result, func(w io.Writer) { fmt.Fprintln(w, count(result.Frames, "frame")) })
}

func keystoneImportCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Keep a keystone of somebody else",
		Long: `Reads a keystone, one frame a line, oldest first, and keeps it if it is valid. That
does not trust it. A frame that differs from one that is known shows that the
keystone is used by two: it is disputed then. - is standard input.`,
		Example: `  ibgib-node keystone import friend.ndjson`,
		Args:    argsBetween(1, 1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.keystoneImport(cmd.Context(), args[0])
		},
	}
}

func (c *cli) keystoneImport(ctx context.Context, file string) error {
	in, err := c.open(ctx, file)
	if err != nil {
		return err
	}
	defer in.Close()
	var k node.Keystone
	err = c.withNode(ctx, accessCreate, func(client *api.Client) (err error) {
		k, err = client.ImportKeystone(ctx, in)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(k, func(w io.Writer) { showKeystone(w, k) })
}
