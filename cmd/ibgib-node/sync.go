package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
	"github.com/ibgib/ibgib-node/saga"
)

func syncCommand(c *cli) *cobra.Command {
	var o node.SyncOptions
	var mode, strategy string
	var timelines []string
	cmd := &cobra.Command{
		Use:   "sync PEER",
		Short: "Bring this node and another to the same state",
		Long: `Syncs with the node at PEER, its address as run and id print it, which ends in
/p2p/ and its peer id. The peer id is enough for a node that this one is connected
to or has met before. Afterwards both have the ibGibs of both. The two must trust
each other. No node needs to run here, but there one does.

MODE is one of
  sync  in both directions
  pull  only from there to here
  push  only from here to there

STRATEGY says what becomes of timelines that both sides have changed:
  optimistic  both branches are kept and merged, on both sides to the same
  manual      both branches are kept, on both sides, and are a conflict for a
              person to resolve
  abort       such a timeline stays as it is, on both sides
The strictest of this, sync.strategy in config.yaml, that of the share (see share
set), and what the other node wants rules; abort is stricter than manual.

It is about all that the two nodes share, the default share first. With --share it
is about that one alone; see share.

With --timeline only that timeline is synced, with what it links to; ADDR is the
tjp or any frame of it.

Exit code 1 says that the two did not come to the same state. Timelines that
diverged and are not merged are listed as conflicts; that alone is no failure. It is
about those that differed before: conflicts list tells of all.`,
		Example: `  ibgib-node sync /ip4/192.0.2.7/tcp/4200/p2p/12D3KooWExample
  ibgib-node sync /ip4/192.0.2.7/udp/4200/quic-v1/p2p/12D3KooWExample --json
  ibgib-node sync 12D3KooWExample --mode pull
  ibgib-node sync 12D3KooWExample --share family
  ibgib-node sync 12D3KooWExample --strategy abort --timeline 'note^HASH'`,
		Args: argsBetween(1, 1, "one PEER"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := o.Mode.UnmarshalText([]byte(mode)); err != nil {
				return usage(cmd, "--mode is sync, pull or push, not %q", mode)
			}
			if err := o.Strategy.UnmarshalText([]byte(strategy)); err != nil {
				return usage(cmd, "--strategy is optimistic, manual or abort, not %q", strategy)
			}
			if o.Timelines, err = c.addrArgs(cmd, timelines); err != nil {
				return err
			}
			return c.sync(cmd.Context(), args[0], o)
		},
	}
	cmd.Flags().StringVar(&mode, "mode", saga.ModeSync.String(), "in which direction: `MODE`")
	cmd.Flags().StringVar(&strategy, "strategy", saga.StrategyOptimistic.String(), "what becomes of diverged timelines: `STRATEGY`")
	cmd.Flags().StringArrayVar(&timelines, "timeline", nil, "sync that timeline only, `ADDR` (repeatable)")
	cmd.Flags().StringVar(&o.Share, "share", "", "sync the share `NAME` only")
	return cmd
}

func (c *cli) sync(ctx context.Context, peer string, o node.SyncOptions) error {
	var result node.SyncResult
	err := c.withNode(ctx, accessCreate, func(client *api.Client) (err error) {
		bar := c.newProgress()
		defer bar.clear()
		result, err = client.Sync(ctx, peer, o, func(p node.SyncProgress) {
			bar.show(int64(p.Heads-p.HeadsLeft), int64(p.Heads), "%s", syncLine(p))
		})
		switch {
		case isCode(err, api.CodeUntrusted):
			return c.untrustedHint(ctx, client, peer, err)
		case isCode(err, api.CodeUnreachable):
			return withHint(err, "does the node run there? on it, ibgib-node id  prints its addresses")
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := c.print(result, func(w io.Writer) { showSync(w, result) }); err != nil {
		return err
	}
	return notConverged(result)
}

// syncLine says in a line how far a sync has come.
func syncLine(p node.SyncProgress) string {
	var parts []string
	if p.Sent.IbGibs > 0 {
		parts = append(parts, fmt.Sprintf("%d sent", p.Sent.IbGibs))
	}
	if p.Received.IbGibs > 0 {
		parts = append(parts, fmt.Sprintf("%d received", p.Received.IbGibs))
	}
	if len(parts) == 0 {
		return "stage " + printable(p.Stage)
	}
	if p.Heads > 0 && p.HeadsLeft == 0 {
		return strings.Join(append(parts, "being stored"), ", ")
	}
	if p.Rate.Bytes > 0 {
		parts = append(parts, showBytes(int64(p.Rate.Bytes))+"/s")
	}
	if p.SecondsLeft > 0 {
		left := time.Duration(math.Ceil(p.SecondsLeft)) * time.Second
		parts = append(parts, left.String()+" left")
	}
	return strings.Join(parts, ", ")
}

// notConverged says why the two nodes did not come to the same state; nil if
// they did.
func notConverged(r node.SyncResult) error {
	for _, sh := range r.Shares {
		if sh.Error != "" {
			return problems("the share %s was not synced", printable(sh.Share))
		}
		if err := notConverged(sh); err != nil {
			return err
		}
	}
	switch refused := len(r.Refused) + len(r.PeerRefused); {
	case r.Converged:
		return nil
	case len(r.Aborted) > 0:
		return problems("left alone: %s that both sides have changed, since abort is the strategy of %s; a sync in which nobody has that brings both branches to both",
			count(len(r.Aborted), "timeline"), wantedBy(r.StrategyBy, r.Share))
	case refused > 0:
		return problems("the two nodes did not come to the same state: %s refused", count(refused, "ibGib"))
	}
	return problems("the two nodes did not come to the same state; sync again")
}

// wantedBy says for people who wants the strategy of a sync of a share.
func wantedBy(by []node.StrategySource, share string) string {
	var names []string
	for _, source := range by {
		name := string(source)
		switch source {
		case node.StrategyOfSync:
			name = "the sync (--strategy)"
		case node.StrategyOfNode:
			name = "this node (sync.strategy in config.yaml)"
		case node.StrategyOfShare:
			name = "the share (share set " + share + ")"
		case node.StrategyOfPeer:
			name = "the other node, or its share"
		}
		names = append(names, printable(name))
	}
	return strings.Join(names, ", and ")
}

// untrustedHint says on which side which command gives the trust that lacks.
func (c *cli) untrustedHint(ctx context.Context, client *api.Client, addr string, err error) error {
	e, ok := errors.AsType[*api.Error](err)
	peer := printable(peerOf(addr))
	if ok && !e.Remote && e.Rule != "" { // trusted, but not by the keystone that it shows
		return withHint(err, "if its owner has given it another keystone, run here:\nibgib-node untrust %s%s\nibgib-node trust %s%s", peer, c.dataFlag(), peer, c.dataFlag())
	}
	if ok && !e.Remote {
		return withHint(err, "to trust it, run here:\nibgib-node trust %s%s", peer, c.dataFlag())
	}
	id, idErr := client.ID(ctx)
	if idErr != nil {
		return err
	}
	if ok && e.Rule != "" {
		return withHint(err, "ibgib-node keystone show%s  tells of the keystone here; to take it for this node's, run there:\nibgib-node untrust %s\nibgib-node trust %s", c.dataFlag(), id.PeerID, id.PeerID)
	}
	return withHint(err, "to be trusted, run there:\nibgib-node trust %s", id.PeerID)
}

// stateOf says in words how a sync ended.
func stateOf(r node.SyncResult) string {
	switch {
	case r.Equal:
		return "both sides had the same heads before"
	case !r.Converged:
		return "the sides still differ"
	case r.Mode == saga.ModePull:
		return "this side has what the other has now"
	case r.Mode == saga.ModePush:
		return "the other side has what this one has now"
	}
	return "both sides have the same heads now"
}

// lossText says what merges have left out of what the branches say.
func lossText(overridden, skipped int) string {
	var parts []string
	if overridden > 0 {
		parts = append(parts, count(overridden, "write")+" overridden")
	}
	if skipped > 0 {
		parts = append(parts, count(skipped, "change")+" that no longer fit left out")
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ") + ": conflicts show ADDR tells which"
}

func showSync(w io.Writer, r node.SyncResult) {
	t := newTable(w)
	t.row("synced", printable(r.Peer))
	if r.Share != "" {
		t.row("share", printable(r.Share))
	}
	t.row("state", stateOf(r))
	t.row("sent", count(r.Sent.IbGibs, "ibGib")+", "+showBytes(r.Sent.Bytes))
	t.row("received", count(r.Received.IbGibs, "ibGib")+", "+showBytes(r.Received.Bytes))
	t.row("rounds", fmt.Sprint(r.Rounds))
	if n := len(r.Merged); n > 0 {
		t.row("merged", count(n, "timeline")+lossText(r.Overridden, r.Skipped))
	}
	if !r.Equal {
		t.row("conflicts", fmt.Sprint(len(r.Conflicts)+r.ConflictsMore))
	}
	if n := len(r.PeerDiverged); n > 0 {
		t.row("diverged there", count(n, "timeline")+", of which this side has not got the other branch")
	}
	if n := len(r.Aborted); n > 0 {
		t.row("left alone", count(n, "timeline")+" that both sides have changed")
	}
	if r.PeerRejected > 0 {
		t.row("kept out there", fmt.Sprint(r.PeerRejected))
	}
	if r.LeftOut > 0 {
		t.row("left out", count(r.LeftOut, "timeline")+" with too many heads")
	}
	t.end()
	if len(r.Conflicts) > 0 {
		fmt.Fprintln(w)
		t := newTable(w, conflictHeader()...)
		for _, conflict := range r.Conflicts {
			for _, head := range conflict.Heads {
				t.row(conflictHead{conflict, head}.row()...)
			}
		}
		t.end()
	}
	if r.Overridden+r.Skipped > 0 {
		fmt.Fprintln(w)
		for _, tl := range r.Merged {
			fmt.Fprintf(w, "merged  %s\n", show(tl.Tjp))
		}
	}
	for _, tjp := range r.Aborted {
		fmt.Fprintf(w, "left alone  %s\n", show(tjp))
	}
	for _, root := range r.Absent {
		fmt.Fprintf(w, "on neither side  %s\n", printable(root))
	}
	for _, r := range r.Rejected {
		fmt.Fprintf(w, "kept out  %s\n  %s: %s\n", show(r.Addr), printable(r.Rule), printable(r.Detail))
	}
	showRefusals(w, "refused here", r.Refused)
	showRefusals(w, "refused there", r.PeerRefused)
	for _, sh := range r.Shares {
		fmt.Fprintln(w)
		if sh.Error != "" {
			fmt.Fprintf(w, "share %s  not synced: %s\n", printable(sh.Share), printable(sh.Error))
			continue
		}
		showSync(w, sh)
	}
}

func showRefusals(w io.Writer, where string, list []node.SyncRefusal) {
	for _, r := range list {
		fmt.Fprintf(w, "%s  %s\n  %s: %s\n", where, printable(r.Hash), printable(r.Rule), printable(r.Detail))
	}
}
