package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/node/api"
)

func backupCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything that is stored to a file",
		Long: `Writes the store as it is at this moment: ibGibs, timelines, pins and the records
of syncs. FILE appears when it is complete; - is standard output. Other commands
may work meanwhile.

The key of this node and the list of whom it trusts are not in it: what restore
makes is a node of its own.`,
		Example: `  ibgib-node backup space.backup
  ibgib-node backup - | ibgib-node restore - --data copy`,
		Args: argsBetween(1, 1, "one FILE, or - for standard output"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.backup(cmd.Context(), args[0]) },
	}
}

func (c *cli) backup(ctx context.Context, name string) error {
	var report blockstore.BackupReport
	write := func(w io.Writer) error {
		return c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
			bar := c.newProgress()
			defer bar.clear()
			report, err = client.Backup(ctx, w, bar.upkeep("written"))
			return err
		})
	}
	if name == "-" {
		if isTerminal(c.out) {
			return &usageError{text: "a backup is no text for a terminal: name a FILE, or lead the output into a pipe"}
		}
		return write(c.out)
	}
	if err := writeFile(name, write); err != nil {
		return err
	}
	return c.print(report, func(w io.Writer) {
		fmt.Fprintf(w, "%s, %s\n", count(report.IbGibs, "ibGib"), showBytes(report.Bytes))
	})
}
