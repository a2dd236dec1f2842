package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/api"
)

func lsCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the addresses of all ibGibs",
		Long: `Lists the address of every stored ibGib, by hash: frames, dna records and stones.
See heads for timelines.`,
		Example: `  ibgib-node ls
  ibgib-node ls --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.ls(cmd.Context()) },
	}
}

type lsItem struct {
	Addr ibgib.Addr `json:"addr"`
}

func (c *cli) ls(ctx context.Context) error {
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		items := func(yield func(lsItem, error) bool) {
			for addr, err := range client.List(ctx) {
				if !yield(lsItem{addr}, err) {
					return
				}
			}
		}
		return printList(c, items, "nothing is stored", nil, func(i lsItem) []string { return []string{show(i.Addr)} })
	})
}
