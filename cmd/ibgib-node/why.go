package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func whyCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "why [ADDR]",
		Short: "Say what is missing of a timeline, and why",
		Long: `Says why a timeline is not shown as somebody expects: which of its frames wait for
something that is not stored, which ones a rule keeps out, which heads other nodes
have named that did not come, and whether it has diverged. ADDR is the tjp or any
frame, also one that is not shown; of an ibGib of no timeline it says what that
waits for. It also says whether its branches are merged, and why not, which changes of
it are held back from a share, since they would bring other timelines there, and
with which nodes it has diverged and is left as it is by the strategy abort.

Without ADDR it lists all heads that trusted nodes have named and that did not
come: the reason, how often they were asked for, and when that is worth another
try. Every sync with a node that has them asks for them, whenever it is.`,
		Example: `  ibgib-node why
  ibgib-node why 'note^HASH'
  ibgib-node why 'note^HASH' --json`,
		Args: argsBetween(0, 1, "one ADDR, or none"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.wants(cmd.Context())
			}
			addr, err := c.addrArg(cmd, args[0])
			if err != nil {
				return err
			}
			return c.why(cmd.Context(), addr)
		},
	}
}

func (c *cli) wants(ctx context.Context) error {
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		wants, err := client.Wants(ctx)
		if err != nil {
			return err
		}
		return printList(c, each(wants), "nothing is wanted",
			[]string{"TIMELINE", "HEAD", "TRIES", "NEXT TRY (UTC)", "REASON", "DETAIL"},
			func(w node.Wanted) []string {
				return []string{
					shortText(w.Root), shortText(w.Head), fmt.Sprint(w.Attempts), showTime(w.Retry),
					printable(w.Reason), printable(w.Detail),
				}
			})
	})
}

func (c *cli) why(ctx context.Context, addr ibgib.Addr) error {
	var why node.Why
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		why, err = client.Why(ctx, addr)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(why, func(w io.Writer) { showWhy(w, why) })
}

func showMissing(w io.Writer, m node.Missing) {
	fmt.Fprintf(w, "missing   %s\n  linked by %s\n", show(m.Addr), show(m.Referrer))
	if !m.BelongsTo.IsZero() {
		fmt.Fprintf(w, "  cannot exist: its hash is that of %s\n", show(m.BelongsTo))
	}
}

func showWhy(w io.Writer, y node.Why) {
	switch {
	case !y.Stored && len(y.Missing) > 0:
		fmt.Fprintln(w, "it is not stored, but something that is stored waits for it")
	case !y.Stored && len(y.Out) > 0:
		fmt.Fprintln(w, "it is not stored")
	case !y.Stored:
		fmt.Fprintln(w, "it is not stored, but another node has named it")
	case y.Tjp.IsZero():
		fmt.Fprintln(w, "it is stored, and belongs to no timeline")
	case y.Latest.IsZero():
		fmt.Fprintf(w, "timeline  %s\nno frame of it is shown\n", show(y.Tjp))
	default:
		fmt.Fprintf(w, "timeline  %s\nlatest    %s\n", show(y.Tjp), show(y.Latest))
	}
	if y.Forgotten {
		fmt.Fprintln(w, "it is forgotten on this node; forget --undo ends that")
	}
	for _, name := range y.Out {
		fmt.Fprintf(w, "it was taken out of the share %[1]s; share add %[1]s puts it back\n", printable(name))
	}
	switch {
	case y.Merged:
		fmt.Fprintf(w, "it has diverged: %d heads, of which the latest is the merge; conflicts show says more\n", len(y.Heads))
	case len(y.Heads) > 1:
		fmt.Fprintf(w, "it has diverged: %d heads, not merged: %s\nconflicts show says more, conflicts resolve ends it\n", len(y.Heads), printable(whyUnmerged(y.Reason, y.Detail)))
	}
	if !y.Opaque.IsZero() {
		fmt.Fprintf(w, "in the way  %s\n", show(y.Opaque))
	}
	for _, m := range y.Missing {
		showMissing(w, m)
	}
	if y.MissingMore > 0 {
		fmt.Fprintf(w, "and %d more missing\n", y.MissingMore)
	}
	for _, r := range y.Rejected {
		fmt.Fprintf(w, "kept out  %s\n  %s: %s\n", show(r.Addr), printable(r.Rule), printable(r.Detail))
	}
	if y.RejectedMore > 0 {
		fmt.Fprintf(w, "and %d more kept out\n", y.RejectedMore)
	}
	for _, want := range y.Wants {
		fmt.Fprintf(w, "wanted    %s\n  %s: %s\n  asked for %s since %s, last of %s; worth another try at %s\n",
			printable(want.Head), printable(want.Reason), printable(want.Detail), count(want.Attempts, "time"),
			showTime(want.Since), printable(strings.Join(want.Peers, ", ")), showTime(want.Retry))
	}
	for _, h := range y.Held {
		fmt.Fprintf(w, "held back from the share %s  %s\n", printable(h.Share), show(h.Head))
		for _, a := range h.Outside {
			fmt.Fprintf(w, "  it needs %s, which is not in that share; share add puts it there\n", show(a))
		}
	}
	for _, left := range y.LeftAlone {
		in := ""
		if left.Share != "" {
			in = " in the share " + printable(left.Share)
		}
		fmt.Fprintf(w, "left alone  %s has changed it too%s, and the strategy abort has left both as they were, at %s\n",
			printable(left.Peer), in, showTime(left.Ended))
		if len(left.StrategyBy) > 0 {
			fmt.Fprintf(w, "  abort was the strategy of %s\n", wantedBy(left.StrategyBy, left.Share))
		}
		fmt.Fprintln(w, "  a sync in which nobody has that brings both branches to both")
	}
	if len(y.Missing)+len(y.Rejected)+len(y.Wants)+len(y.Held)+len(y.LeftAlone) == 0 {
		fmt.Fprintln(w, "nothing is missing, and nothing is kept out")
	}
}
