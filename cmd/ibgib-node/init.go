package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func initCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Create the data directory",
		Long: `Creates the data directory with an empty store and the key of this node, and
prints its peer id. A directory that is there already is left as it is.

There is no need for it: run, new, import, trust, id and sync create the
directory too.`,
		Example: `  ibgib-node init
  ibgib-node init --data /srv/ibgib --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.init(cmd.Context()) },
	}
}

type initResult struct {
	Data    string `json:"data"`
	PeerID  string `json:"peerId"`
	Created bool   `json:"created"`
}

func (c *cli) init(ctx context.Context) error {
	dir, err := dataDir(c.data)
	if err != nil {
		return err
	}
	result := initResult{Data: dir, Created: !node.IsDataDir(dir)}
	err = c.withNode(ctx, accessInit, func(client *api.Client) error {
		id, err := client.ID(ctx)
		result.PeerID = id.PeerID
		return err
	})
	if err != nil {
		return err
	}
	return c.print(result, func(w io.Writer) {
		if !result.Created {
			fmt.Fprintln(c.err, "there is a node already")
		}
		fmt.Fprintf(w, "data  %s\npeer  %s\n", printable(result.Data), result.PeerID)
	})
}

// isVacant reports whether a folder has nothing in it that anybody put there.
func isVacant(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return e.Name() != "lost+found" && !strings.HasPrefix(e.Name(), ".")
	})
}
