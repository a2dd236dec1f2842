package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func verifyCommand(c *cli) *cobra.Command {
	var repair bool
	var from []string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check everything that is stored",
		Long: `Recomputes the hash of every ibGib, and every flag, index and head, and lists
what is not as it must be. With --repair it mends that first: it makes flags,
indexes and heads anew, and takes out ibGibs that are damaged. What is gone is
listed; timelines fall back to their newest frame that is whole, and the next
sync with a node that has the rest brings it.

With --repair a running node first asks the trusted nodes that it is connected to
for what is damaged; with --from any trusted node can be asked, one after the other,
by its multiaddr, or by its peer id if it has been met before. What they send is
checked by its hash, and nothing else is changed there or here.

Exit code 1 says that there are problems, with --repair that something is lost.`,
		Example: `  ibgib-node verify
  ibgib-node verify --json
  ibgib-node verify --repair
  ibgib-node verify --repair --from /ip4/192.0.2.7/tcp/4200/p2p/12D3KooWExample`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if repair {
				return c.repair(cmd.Context(), from)
			}
			if len(from) > 0 {
				return usage(cmd, "--from goes with --repair")
			}
			return c.verify(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "mend what is wrong")
	cmd.Flags().StringArrayVar(&from, "from", nil, "ask this node for what is damaged; may be repeated")
	return cmd
}

// repairResult is what was mended, and what is there afterwards.
type repairResult struct {
	node.RepairReport
	After node.VerifyReport `json:"after"`
}

func (c *cli) repair(ctx context.Context, from []string) error {
	var result repairResult
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		bar := c.newProgress()
		defer bar.clear()
		if result.RepairReport, err = client.Repair(ctx, node.RepairOptions{From: from}, bar.upkeep("looked at")); err != nil {
			if isCode(err, api.CodeUntrusted) {
				return withHint(err, "to trust a node, run here:\nibgib-node trust PEERID%s", c.dataFlag())
			}
			return err
		}
		result.After, err = client.Verify(ctx, nil)
		return err
	})
	if err != nil {
		return err
	}
	err = c.print(result, func(w io.Writer) {
		for _, s := range result.Sources {
			fmt.Fprintf(w, "fetched %s from %s\n", count(s.Fetched, "ibGib"), printable(s.Peer))
			if s.Error != "" {
				fmt.Fprintf(w, "  %s\n", printable(s.Error))
			}
		}
		fmt.Fprintf(w, "mended %s, lost %s\n", count(result.Mended, "record"), count(len(result.Lost), "thing"))
		t := newTable(w)
		for _, p := range result.Lost {
			t.row("lost", p.Kind, printable(p.Detail), printable(p.Item))
		}
		t.end()
		for _, m := range result.Moved {
			now := "nothing is left of it"
			if len(m.Now) > 0 {
				now = "now at " + show(m.Now[0])
			}
			fmt.Fprintf(w, "timeline %s\n  %s\n", show(m.Root), now)
		}
		showVerify(w, result.After)
	})
	if err != nil {
		return err
	}
	if n := len(result.Lost) + result.RepairReport.More + len(result.After.Problems) + result.After.More; n > 0 {
		return problems("%s left", count(n, "problem"))
	}
	return nil
}

func (c *cli) verify(ctx context.Context) error {
	var report node.VerifyReport
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		bar := c.newProgress()
		defer bar.clear()
		report, err = client.Verify(ctx, func(p node.VerifyProgress) {
			bar.show(0, 0, "%d records checked", p.Checked)
		})
		return err
	})
	if err != nil {
		return err
	}
	err = c.print(report, func(w io.Writer) { showVerify(w, report) })
	if err != nil {
		return err
	}
	if n := len(report.Problems) + report.More; n > 0 {
		return problems("%s found", count(n, "problem"))
	}
	return nil
}

func showVerify(w io.Writer, report node.VerifyReport) {
	fmt.Fprintf(w, "%s, %s, %s\n", count(report.IbGibs, "ibGib"), count(report.Timelines, "timeline"),
		count(len(report.Problems)+report.More, "problem"))
	t := newTable(w)
	for _, p := range report.Problems {
		t.row(p.Kind, printable(p.Detail), printable(p.Item))
	}
	t.end()
}
