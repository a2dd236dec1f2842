package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func peersCommand(c *cli) *cobra.Command {
	var watch, log bool
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "List the nodes that this one knows",
		Long: `Lists the nodes that this one trusts, by hand or for the mesh secret, then
strangers: those that asked for a sync in vain or were found on the local network,
since the node was started. Last come those from which trust was withdrawn.

The six words of each are made from its peer id and that of this node. Its owner
sees the same ones there; compare them, by telephone perhaps, before you trust a
stranger. KEYSTONE is the hash by which the one that a trusted node has named begins,
LAST SYNC when the last one ended, with "failed" and a word for why if it did, and "in
part" if the two had not all the same heads then. A failure is shown until a sync of the
same share, which it names unless that is the default one, goes well; --json has it in
full, and sagas list tells more.

With --watch it does not end: after the list it prints a line whenever one of them
connects or is lost, is trusted or not, and when a stranger is met. With --json each
line is a JSON value; the nodes that are known at first come as changes "known".
--watch needs a node that runs. Ctrl-C ends it.

With --log it lists when trust was given and withdrawn and for what (hand, mesh,
invite or introduced, and by which node), and when a trusted node first named its keystone; the
last 1,000 changes, newest first, at most 250 of them for what one introducer said.`,
		Example: `  ibgib-node peers
  ibgib-node peers --json
  ibgib-node peers --watch
  ibgib-node peers --log`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if watch && log {
				return usage(cmd, "--watch and --log exclude each other")
			}
			if log {
				return c.trustLog(cmd.Context())
			}
			if watch {
				return c.watchPeers(cmd.Context())
			}
			return c.peers(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&log, "log", false, "list the changes of trust instead")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on with what changes")
	return cmd
}

const noPeers = "no peers yet: ibgib-node trust PEERID adds one"

func (c *cli) peers(ctx context.Context) error {
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		peers, err := client.Peers(ctx)
		if err != nil {
			return err
		}
		return printList(c, each(peers), noPeers,
			[]string{"PEER", "TRUST", "CONNECTED", "SINCE", "KEYSTONE", "LAST SYNC", "WORDS", "ADDRESS"}, peerRow)
	})
}

// trustLog prints the changes of trust.
func (c *cli) trustLog(ctx context.Context) error {
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		changes, err := client.TrustLog(ctx)
		if err != nil {
			return err
		}
		return printList(c, each(changes), "trust has not changed yet", []string{"TIME (UTC)", "CHANGE", "BY", "PEER", "KEYSTONE", "INTRODUCED BY"}, func(t node.TrustChange) []string {
			return []string{showTime(t.Time), printable(string(t.Change)), printable(t.By), t.PeerID.String(), show(t.Keystone), cmp.Or(t.IntroducedBy.String(), "-")}
		})
	})
}

func peerRow(p node.Peer) []string {
	trust, since := "stranger", showTime(p.LastAsked)
	switch {
	case p.Trusted && p.By == "mesh":
		trust, since = "mesh", showTime(p.Since)
	case p.Trusted:
		trust, since = "trusted", showTime(p.Since)
	case p.Denied:
		trust, since = "withdrawn", showTime(p.Since)
	case p.Proved:
		trust = "has secret"
	}
	connected := "no"
	if p.Connected {
		connected = "yes"
	}
	addr := printable(strings.Join(p.Addrs, " "))
	if addr == "" {
		addr = "-"
	}
	identity := "-"
	if !p.Keystone.IsZero() {
		identity = shortHash(p.Keystone)
	}
	return []string{p.PeerID, trust, connected, since, identity, showLastSync(p.LastSync), p.Words, addr}
}

func showLastSync(s *node.LastSync) string {
	if s == nil {
		return "-"
	}
	text := showTime(s.Ended)
	if s.Share != "" {
		text += " share " + printable(s.Share)
	}
	switch {
	case s.Error != "":
		return text + " failed: " + printable(s.Code)
	case !s.Converged:
		return text + " in part"
	}
	return showTime(s.Ended)
}

// watchPeers prints the peers, and then what changes about them.
func (c *cli) watchPeers(ctx context.Context) error {
	return c.withDaemon(ctx, func(client *api.Client) error {
		f := feed{c: c, header: peerLine("TIME (UTC)", "CHANGE", "PEER", "TRUST", "CONNECTED", "ADDRESS")}
		for e, err := range client.Events(ctx, node.EventOptions{Kinds: []node.EventKind{node.EventPeer}}) {
			switch {
			case err != nil:
				return err
			case e.Kind == node.EventReady, e.Kind == node.EventMissed:
				err = c.listPeers(ctx, client, e.Time, &f)
			case e.Kind == node.EventPeer:
				err = f.line(e, peerChangeLine(e))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// listPeers prints all peers as they are.
func (c *cli) listPeers(ctx context.Context, client *api.Client, at time.Time, f *feed) error {
	peers, err := client.Peers(ctx)
	if err != nil {
		return err
	}
	if len(peers) == 0 {
		fmt.Fprintln(c.err, noPeers)
	}
	if err := f.begin(); err != nil {
		return err
	}
	for _, p := range peers {
		e := node.Event{Kind: node.EventPeer, Time: at, Peer: &node.PeerEvent{Change: peerKnown, Peer: p}}
		if err := f.line(e, peerChangeLine(e)); err != nil {
			return err
		}
	}
	return nil
}

// peerKnown is the change of a peer that has not changed.
const peerKnown node.PeerChange = "known"

func peerChangeLine(e node.Event) string {
	row := peerRow(e.Peer.Peer)
	return peerLine(showTime(e.Time), printable(string(e.Peer.Change)), row[0], row[1], row[2], row[7])
}

func peerLine(at, change, peer, trust, connected, addr string) string {
	return fmt.Sprintf("%-19s  %-12s  %-52s  %-10s  %-9s  %s", at, change, peer, trust, connected, addr)
}
