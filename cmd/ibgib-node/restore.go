package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/node"
)

func restoreCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data directory of a backup",
		Long: `Makes a data directory of what backup wrote; - is standard input. The directory
must be empty or not there yet. A file that is damaged or cut off leaves nothing
behind.

The node gets a key of its own and trusts nobody yet.`,
		Example: `  ibgib-node restore space.backup --data /srv/ibgib
  ibgib-node backup - | ibgib-node restore - --data copy`,
		Args: argsBetween(1, 1, "one FILE, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.restore(cmd.Context(), args[0]) },
	}
}

func (c *cli) restore(ctx context.Context, name string) error {
	dir, err := dataDir(c.data)
	if err != nil {
		return err
	}
	in, err := c.open(ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	bar := c.newProgress()
	defer bar.clear()
	report, err := node.Restore(ctx, dir, in, bar.upkeep("read"))
	switch {
	case errors.Is(err, fs.ErrExist):
		return withHint(&usageError{text: "there is something in " + dir + " already"},
			"name another directory with --data; restore never changes one that is in use")
	case errors.Is(err, blockstore.ErrNewer):
		return withHint(err, "use the version of ibgib-node that wrote it, or a later one")
	case err != nil:
		return err
	}
	bar.clear()
	return c.print(report, func(w io.Writer) {
		fmt.Fprintf(w, "%s, %s, in %s\n", count(report.IbGibs, "ibGib"), showBytes(report.Bytes), printable(dir))
	})
}
