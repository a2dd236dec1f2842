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

func statsCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "stats",
		Short: "Count what is stored",
		Long: `Counts ibGibs, timelines and what waits or is kept out, and the disk space; of
a node that runs, also what its process takes.`,
		Example: `  ibgib-node stats
  ibgib-node stats --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.stats(cmd.Context()) },
	}
}

func (c *cli) stats(ctx context.Context) error {
	var s node.Stats
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		s, err = client.Stats(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(s, func(w io.Writer) {
		t := newTable(w)
		for _, row := range []struct {
			name  string
			value int
		}{
			{"ibGibs", s.IbGibs}, {"timelines", s.Timelines}, {"conflicts", s.Conflicts},
			{"pinned", s.Pins}, {"of them stones", s.Stones},
			{"waited for", s.Awaited}, {"wanted of peers", s.Wants}, {"kept out", s.Rejected}, {"syncs remembered", s.Sagas}, {"shares", s.Shares},
		} {
			t.row(row.name, fmt.Sprint(row.value))
		}
		t.row("on disk", showBytes(s.Disk))
		if p := s.Process; p != nil {
			t.row("running", "since "+p.Since.Format(time.DateTime)+" UTC")
			t.row("goroutines", fmt.Sprint(p.Goroutines))
			t.row("live heap", showBytes(p.Heap))
			if p.RSS > 0 {
				t.row("in memory", showBytes(p.RSS))
			}
		}
		t.end()
	})
}
