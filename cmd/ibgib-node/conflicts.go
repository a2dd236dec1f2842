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

func conflictsCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "conflicts",
		Short: "Show and resolve timelines that have diverged",
		Long: `Shows and resolves timelines with more than one head: two nodes changed them
without knowing of each other. All branches are kept, and merged: every node
computes the same latest from them, in which of two writes to one place the later
one wins. That is no conflict. What cannot be merged is, and what is left to a
person (sync.strategy in config.yaml, or that of the share, is manual, here or on
the other node): then the head with the greatest number is presented as the latest,
or the one that a person has pinned on this node.`,
		Example: `  ibgib-node conflicts list
  ibgib-node conflicts show 'note^HASH'
  ibgib-node conflicts resolve 'note^HASH' --keep 'note^HASH.TJPGIB'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, "conflicts wants list, show or resolve")
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(conflictsListCommand(c), conflictsShowCommand(c), conflictsResolveCommand(c))
	return cmd
}

func conflictsListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the timelines that have diverged and are not merged",
		Long: `Lists every head of every timeline that has diverged and is not merged, by the hash
of its tjp. A star marks the head that is presented as the latest; where resolve
--pin chose it, it says pinned. REASON says why the branches are not merged:
manual, pinned, undecided (a node that runs goes on with it), opaque-frame (nothing says what
a frame did), too-many-heads, gate or n-at-its-end.`,
		Example: `  ibgib-node conflicts list
  ibgib-node conflicts list --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.conflictsList(cmd.Context()) },
	}
}

func (c *cli) conflictsList(ctx context.Context) error {
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		conflicts := client.Conflicts(ctx)
		if c.json {
			return printList[node.Conflict](c, conflicts, "", nil, nil)
		}
		heads := func(yield func(conflictHead, error) bool) {
			for conflict, err := range conflicts {
				if err != nil {
					yield(conflictHead{}, err)
					return
				}
				for _, head := range conflict.Heads {
					if !yield(conflictHead{conflict, head}, nil) {
						return
					}
				}
			}
		}
		return printList(c, heads, "no conflicts", conflictHeader(), conflictHead.row)
	})
}

// conflictHead is one head of a conflict.
type conflictHead struct {
	conflict node.Conflict
	head     node.Frame
}

func conflictHeader() []string {
	return []string{"TIMELINE", "", "N", "TIME (UTC)", "REASON", "HEAD"}
}

func (h conflictHead) row() []string {
	mark := ""
	if h.head.Addr == h.conflict.Latest {
		mark = "*"
		if h.conflict.Pinned {
			mark = "pinned"
		}
	}
	return []string{shortHash(h.conflict.Tjp), mark, showN(h.head.N), showTime(h.head.Time), printable(string(h.conflict.Reason)), show(h.head.Addr)}
}

func conflictsShowCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "show ADDR",
		Short: "Show the branches of a timeline that has diverged",
		Long: `Shows what each head of a timeline has above the newest frame that they share, why
they are not merged, or which writes of one branch the merge put in the place of
those of another (and a third one perhaps in the place of that). ADDR is the tjp or any
frame. Of a timeline that has one head again it shows the last divergence before that,
whether it was merged or a person has kept a branch; an older one by the address of the
merge or keep frame that ended it, which log --graph prints.`,
		Example: `  ibgib-node conflicts show 'note^HASH'
  ibgib-node conflicts show 'note^HASH' --json`,
		Args: argsBetween(1, 1, "one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := c.addrArg(cmd, args[0])
			if err != nil {
				return err
			}
			return c.conflictsShow(cmd.Context(), addr)
		},
	}
}

func (c *cli) conflictsShow(ctx context.Context, addr ibgib.Addr) error {
	var detail node.ConflictDetail
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		detail, err = client.Conflict(ctx, addr)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(detail, func(w io.Writer) { showConflict(w, detail) })
}

func showConflict(w io.Writer, d node.ConflictDetail) {
	fmt.Fprintf(w, "timeline  %s\nlatest    %s\n", show(d.Tjp), show(d.Latest))
	switch {
	case !d.Kept.IsZero():
		fmt.Fprintf(w, "ended     yes: a person has kept one of the branches below\nkept      %s\nby        %s\n", show(d.Kept), show(d.Ended))
	case !d.Ended.IsZero():
		fmt.Fprintf(w, "ended     yes: the branches below were merged before; %s\nmerge     %s\n", extent(d), show(d.Ended))
	case d.Pinned:
		fmt.Fprintln(w, "pinned    yes: it is shown on this node as long as the conflict lasts, or until resolve --unpin")
	case d.Merged:
		fmt.Fprintf(w, "merged    yes: %s\n", extent(d))
	default:
		fmt.Fprintf(w, "merged    no: %s\n", printable(whyUnmerged(d.Reason, d.Detail)))
	}
	if !d.From.IsZero() {
		fmt.Fprintf(w, "from      %s\n", show(d.From))
	}
	fmt.Fprintf(w, "base      %s\n", show(d.Base.Addr))
	for i, b := range d.Branches {
		fmt.Fprintf(w, "\nbranch %d of %d: %s above the base", i+1, len(d.Branches), count(len(b.Frames), "frame"))
		if b.More {
			fmt.Fprint(w, ", and older ones")
		}
		fmt.Fprintln(w)
		t := newTable(w)
		for _, f := range b.Frames {
			addr := show(f.Addr)
			if f.Shared {
				addr += "  (in another branch too)"
			}
			t.row("  "+showN(f.N), showTime(f.Time), f.Kind, addr)
		}
		t.end()
	}
	if len(d.Overridden) > 0 {
		more := ""
		if d.OverriddenCut {
			more = ", or more,"
		}
		fmt.Fprintf(w, "\n%s%s overridden by a later one that had not seen it\n", count(len(d.Overridden), "write"), more)
	}
	for _, o := range d.Overridden {
		showOverridden(w, o)
	}
	if len(d.Skipped) > 0 {
		fmt.Fprintf(w, "\n%s not applied, since it no longer fits\n", count(len(d.Skipped), "change"))
	}
	for _, a := range d.Skipped {
		fmt.Fprintf(w, "  %s\n", show(a))
	}
}

// extent says how much of the branches a merge has.
func extent(d node.ConflictDetail) string {
	switch {
	case !d.From.IsZero():
		return "it goes out from what a person has settled before, and has the other changes"
	case len(d.Overridden)+len(d.Skipped) > 0:
		return "it has the changes of all branches but for what is listed below them"
	}
	return "it has the changes of all branches"
}

// whyUnmerged says for people why branches are not merged.
func whyUnmerged(reason node.ConflictReason, detail string) string {
	why := string(reason)
	switch reason {
	case node.ReasonManual:
		why = "it is left to a person"
	case node.ReasonPinned:
		why = "a head is pinned on this node"
	case node.ReasonUndecided:
		why = "not yet; it is much work, with which a node that runs goes on"
	}
	if detail != "" {
		why += ": " + detail
	}
	return why
}

// pathText joins the names of a path as in a JSON pointer.
func pathText(path []string) string {
	names := make([]string, len(path))
	for i, name := range path {
		names[i] = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	return strings.Join(names, "/")
}

func showOverridden(w io.Writer, o node.Overridden) {
	value := func(v []byte) string {
		if v == nil {
			return "(removed)"
		}
		return string(printableJSON(v))
	}
	fmt.Fprintf(w, "  %s\n    - %s  by %s\n    + %s  by %s\n", printable(pathText(o.Path)),
		value(o.Lost), show(o.LostBy), value(o.Won), show(o.WonBy))
}
