package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/keystone"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func keystoneVerifyCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE|ADDR",
		Short: "Replay a keystone and report every rule that it breaks",
		Long: `Replays a keystone from its first frame and reports every rule that is broken. FILE
has one frame a line, oldest first, - is standard input; it needs no data
directory. ADDR is a keystone that this node keeps, or the newest stored frame of
any other one. The exit code is 1 if it is not valid.`,
		Example: `  ibgib-node keystone verify me.ndjson
  ibgib-node keystone verify me.ndjson --json
  ibgib-node keystone verify 'keystone^HASH'`,
		Args: argsBetween(1, 1, "one FILE or ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.keystoneVerify(cmd, args[0])
		},
	}
}

func (c *cli) keystoneVerify(cmd *cobra.Command, what string) error {
	report, err := c.verifyKeystone(cmd.Context(), cmd, what)
	if err != nil {
		return err
	}
	if err := c.print(report, func(w io.Writer) { showReport(w, report) }); err != nil {
		return err
	}
	if !report.Valid {
		return problems("the keystone is not valid")
	}
	return nil
}

func (c *cli) verifyKeystone(ctx context.Context, cmd *cobra.Command, what string) (r keystone.Report, err error) {
	if _, missing := os.Stat(what); missing != nil && (strings.Contains(what, "^") || node.IsAbbreviation(what)) {
		addr, err := c.keystoneArg(cmd, what)
		if err != nil {
			return r, err
		}
		err = c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
			r, err = client.VerifyKeystone(ctx, addr)
			return err
		})
		return r, err
	}
	in, err := c.open(ctx, what)
	if err != nil {
		return r, err
	}
	defer in.Close()
	return node.VerifyKeystoneFile(in)
}

func showReport(w io.Writer, r keystone.Report) {
	state := "valid"
	switch {
	case !r.Valid:
		state = "not valid, " + count(len(r.Violations), "violation")
	case r.Revoked:
		state = "valid, and revoked"
	}
	fmt.Fprintf(w, "%s: %s\n", count(r.Frames, "frame"), state)
	for _, v := range r.Violations {
		fmt.Fprintf(w, "frame %d  %s  %s\n", v.N, v.Rule, printable(v.Detail))
	}
}
