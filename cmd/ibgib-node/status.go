package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func statusCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Tell how the node is doing",
		Long: `Tells whether a node runs, with whom it is connected, whether it is syncing, and
what it holds, as a number of timelines and a fingerprint over their heads: two
nodes with the same ones are in step.`,
		Example: `  ibgib-node status
  ibgib-node status --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.status(cmd.Context()) },
	}
}

func (c *cli) status(ctx context.Context) error {
	var s node.Status
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		s, err = client.Status(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(s, func(w io.Writer) {
		t := newTable(w)
		t.row("peer", s.PeerID)
		t.row("keystone", show(s.Keystone)+" ("+string(s.Signs)+")")
		t.row("data", printable(s.Data))
		if s.Running {
			t.row("running", "since "+s.Since.Format(time.DateTime)+" UTC")
			mesh := printable(s.Mesh)
			if s.Secret {
				mesh = "by its secret"
			}
			t.row("mesh", mesh)
			t.row("trust", string(s.Trust))
			t.row("search", printable(s.Search))
			t.row("dht", dhtText(s.DHT))
			if r := s.Reachability; r != nil {
				t.row("reach", reachText(*r))
			}
		} else {
			t.row("running", "no")
		}
		t.row("peers", fmt.Sprintf("%d trusted, %d of them connected, %d asking", s.Trusted, s.Connected, s.Pending))
		t.row("syncing", fmt.Sprint(s.Syncing))
		t.row("entries", fmt.Sprintf("%d timelines and pinned stones", s.Entries))
		t.row("wanted", fmt.Sprint(s.Wants))
		t.row("fingerprint", s.Fingerprint)
		for _, sh := range s.Shares {
			t.row("share", fmt.Sprintf("%s: %s, %d timelines and pinned stones, %s", printable(sh.Name), count(sh.Members, "member"), sh.Entries, sh.Fingerprint))
		}
		t.end()
	})
}

func dhtText(s *node.DHTStatus) string {
	switch {
	case s == nil:
		return "off"
	case s.Peers == 0 && s.Problem != "":
		return "not entered: " + printable(s.Problem)
	case s.Peers == 0 && s.Mode == dht.ModeClient:
		return "not entered yet"
	}
	text := fmt.Sprintf("%s, %s to ask, %s announced", s.Mode, count(s.Peers, "node"), count(s.Announced, "key"))
	if s.Dropped > 0 {
		text += fmt.Sprintf(", %s of others dropped", count(s.Dropped, "record"))
	}
	return text
}

func reachText(r node.Reachability) string {
	text := r.Reach
	if len(r.Public) > 0 {
		text += " at " + printable(strings.Join(r.Public, ", "))
	}
	if len(r.Relays) > 0 {
		text += ", through " + printable(strings.Join(r.Relays, ", "))
	}
	if r.NAT != "" {
		text += "; NAT: " + r.NAT
	}
	return text
}
