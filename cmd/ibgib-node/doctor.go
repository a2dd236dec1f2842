package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func doctorCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what keeps the node from its work",
		Long: `Looks at the data directory, the configuration, the disk, the clock, the limits of
the process, the interfaces and, if a node runs, at its addresses, its search of the
local network and its peers; and says what to do about what is wrong. Nothing is
sent, nothing is changed. ibgib-node verify checks what is stored.

It ends with code 1 if there is a problem; warnings do not count.`,
		Example: `  ibgib-node doctor
  ibgib-node doctor --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.doctor(cmd.Context()) },
	}
}

func (c *cli) doctor(ctx context.Context) error {
	var d node.Diagnosis
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		d, err = client.Diagnose(ctx)
		return err
	})
	if err != nil {
		return err
	}
	err = c.print(d, func(w io.Writer) {
		t := newTable(w)
		for _, check := range d.Checks {
			t.row(strings.ToUpper(string(check.State)), check.Name, printable(check.Finding))
			if check.Advice != "" {
				t.row("", "", "  "+printable(check.Advice))
			}
		}
		t.end()
	})
	if err != nil {
		return err
	}
	if n := d.Problems(); n > 0 {
		return &statusError{exitProblems, fmt.Sprintf("%s found", count(n, "problem"))}
	}
	return nil
}
