package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
	"github.com/ibgib/ibgib-node/saga"
)

func sagasCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sagas",
		Short: "Show past syncs",
		Long: `Shows the syncs that moved something, begun here or on another node. The newest
thousand are remembered.`,
		Example: `  ibgib-node sagas list
  ibgib-node sagas show ID`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, "sagas wants list or show")
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(sagasListCommand(c), sagasShowCommand(c))
	return cmd
}

func sagasListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List past syncs, newest first",
		Long:  `Lists the syncs that moved something, newest first.`,
		Example: `  ibgib-node sagas list
  ibgib-node sagas list --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.sagasList(cmd.Context()) },
	}
}

func (c *cli) sagasList(ctx context.Context) error {
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		sagas, err := client.Sagas(ctx)
		if err != nil {
			return err
		}
		return printList(c, each(sagas), "no syncs yet",
			[]string{"ID", "BEGAN (UTC)", "TOOK", "SENT", "RECEIVED", "DIVERGED", "STATE", "PEER"},
			func(s node.SagaRecord) []string {
				return []string{
					shortText(s.SagaID), showTime(s.Began), showTook(s), fmt.Sprint(s.Sent.IbGibs), fmt.Sprint(s.Received.IbGibs),
					fmt.Sprint(s.Conflicts), stateOfSaga(s), printable(s.Peer),
				}
			})
	})
}

// stateOfSaga says in a few words how a saga ended.
func stateOfSaga(s node.SagaRecord) string {
	switch {
	case s.Error != nil:
		return "failed: " + printable(s.Error.Code)
	case s.Converged:
		return "in sync"
	}
	return "not in sync"
}

// showTook returns how long a saga took.
func showTook(s node.SagaRecord) string { return showDuration(s.Ended.Sub(s.Began)) }

func sagasShowCommand(c *cli) *cobra.Command {
	verify := false
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one past sync",
		Long: `Shows what a sync did: with whom, how long it took, what moved, which timelines
differed or have diverged, what was refused, and the frames that record it. ID is
as list shows it.

With --verify it checks the record instead: the transcript, which stands for every
message of the sync, and the signatures of both sides under it, whose sessions and
keystones are replayed. The exit code is 1 if something is wrong or lacking.`,
		Example: `  ibgib-node sagas show ID
  ibgib-node sagas show ID --verify
  ibgib-node sagas show ID --json`,
		Args: argsBetween(1, 1, "one ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if verify {
				return c.sagasVerify(cmd.Context(), args[0])
			}
			return c.sagasShow(cmd.Context(), args[0])
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", false, "check the record and the signatures of both sides")
	return cmd
}

func (c *cli) sagasVerify(ctx context.Context, id string) error {
	var v node.SagaVerification
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		v, err = client.VerifySaga(ctx, id)
		return err
	})
	if err != nil {
		return err
	}
	if err := c.print(v, func(w io.Writer) { showVerification(w, v) }); err != nil {
		return err
	}
	if !v.Valid {
		return problems("the record of the saga does not hold")
	}
	return nil
}

func showVerification(w io.Writer, v node.SagaVerification) {
	t := newTable(w)
	defer t.end()
	t.row("saga", printable(v.SagaID))
	if v.Problem != "" {
		t.row("transcript", printable(v.Problem))
		return
	}
	t.row("transcript", "whole, up to "+show(v.Last))
	for _, s := range v.Sides {
		state := "signed by " + show(s.Frame)
		if s.Problem != "" {
			state = "not signed: " + printable(s.Problem)
		}
		t.row(printable(s.Role), printable(s.PeerID))
		if !s.Keystone.IsZero() {
			t.row("", "keystone "+show(s.Keystone))
		}
		t.row("", state)
	}
}

func (c *cli) sagasShow(ctx context.Context, id string) error {
	var s node.SagaRecord
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		s, err = client.Saga(ctx, id)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(s, func(w io.Writer) { showSaga(w, s) })
}

func showSaga(w io.Writer, s node.SagaRecord) {
	begun := "this node began it"
	if s.Role == saga.Responder.String() {
		begun = "it began it"
	}
	t := newTable(w)
	t.row("saga", printable(s.SagaID))
	t.row("with", printable(s.Peer)+", "+begun)
	t.row("mode", printable(s.Mode)+", strategy "+printable(s.Strategy))
	t.row("began", showTime(s.Began))
	t.row("took", showTook(s)+", "+count(s.Rounds, "round"))
	t.row("state", stateOfSaga(s))
	if s.Error != nil {
		t.row("error", printable(s.Error.Text))
	}
	t.row("sent", count(s.Sent.IbGibs, "ibGib")+", "+showBytes(s.Sent.Bytes))
	t.row("received", count(s.Received.IbGibs, "ibGib")+", "+showBytes(s.Received.Bytes))
	t.row("messages", showBytes(s.Wire.Sent)+" sent, "+showBytes(s.Wire.Received)+" received")
	t.row("timelines", fmt.Sprintf("%d differed, %d diverged, %d of them left alone", s.Differing, s.Conflicts, s.Aborted))
	t.row("refused", fmt.Sprintf("%d here, %d there", s.Refused, s.PeerRefused))
	t.row("kept out", fmt.Sprintf("%d here, %d there", s.Rejected, s.PeerRejected))
	t.end()
	if s.Details != nil {
		showSagaDetails(w, *s.Details)
	}
}

func showSagaDetails(w io.Writer, d node.SagaDetails) {
	if len(d.Timelines) > 0 {
		fmt.Fprintln(w)
		t := newTable(w)
		for _, tl := range d.Timelines {
			state := "differed"
			switch {
			case tl.Aborted:
				state = "left alone"
			case tl.Conflict:
				state = "diverged"
			}
			name := show(tl.Tjp)
			if tl.Tjp.IsZero() {
				name = printable(tl.Root)
			}
			t.row(state, name)
		}
		t.end()
	}
	for _, list := range []struct {
		where    string
		refusals []node.SyncRefusal
	}{{"refused here", d.Refusals}, {"refused there", d.PeerRefusals}} {
		if len(list.refusals) > 0 {
			fmt.Fprintln(w)
			showRefusals(w, list.where, list.refusals)
		}
	}
	for i, r := range d.Rejections {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "kept out  %s\n  %s: %s\n", show(r.Addr), printable(r.Rule), printable(r.Detail))
	}
	fmt.Fprintln(w)
	t := newTable(w)
	for _, f := range d.Frames {
		t.row("frame "+printable(f.Stage), show(f.Addr))
	}
	t.end()
}
