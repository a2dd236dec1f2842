package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
	"github.com/ibgib/ibgib-node/saga"
)

func shareCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "share",
		Short: "Share some timelines with some nodes only",
		Long: `A share is a set of timelines that goes to its members, and to nobody else. Every
node has the default share, which goes to every node that it trusts. A named share
has an id, which its members know, and each of them lists the others:

  ibgib-node share create family                here; it prints the id
  ibgib-node share member add family PEER       here
  ibgib-node share join ID family --member PEER there

A node that asks for a share which it is no member of learns nothing of it, not even
whether there is one; share list shows here that it asked.`,
		Example: `  ibgib-node share create family --member 12D3KooWExample
  ibgib-node share add family 8DA5BBD7C74A
  ibgib-node new diary --share family
  ibgib-node share list`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, "share wants create, join, set, list, show, add, remove, member or delete")
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(shareCreateCommand(c), shareJoinCommand(c), shareSetCommand(c), shareListCommand(c), shareShowCommand(c),
		shareAddCommand(c), shareRemoveCommand(c), shareMemberCommand(c), shareDeleteCommand(c))
	return cmd
}

// shareFlags are those of create and join.
func shareFlags(cmd *cobra.Command, o *node.ShareOptions) {
	cmd.Flags().StringVar((*string)(&o.Direction), "direction", string(node.SendReceive),
		"`WAY` that it goes: send-receive, send-only (nothing comes here) or receive-only (changes made here stay here)")
	cmd.Flags().TextVar(&o.Strategy, "strategy", saga.StrategyOptimistic,
		"what becomes of its timelines that have diverged, `STRATEGY`: optimistic, manual or abort, see sync")
	cmd.Flags().StringArrayVar(&o.Members, "member", nil, "a trusted node that is a member, `PEERID` (repeatable)")
}

func shareCreateCommand(c *cli) *cobra.Command {
	var o node.ShareOptions
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a share",
		Long: `Makes a share, without timelines, and prints its id. NAME is its name on this node
alone. The members have to join it, each on its own node, and to list this node.`,
		Example: `  ibgib-node share create family
  ibgib-node share create archive --direction send-only --member 12D3KooWExample`,
		Args: argsBetween(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return c.shareCreate(cmd.Context(), o)
		},
	}
	shareFlags(cmd, &o)
	return cmd
}

func shareJoinCommand(c *cli) *cobra.Command {
	var o node.ShareOptions
	cmd := &cobra.Command{
		Use:   "join ID NAME",
		Short: "Join a share of another node",
		Long: `Makes the share that another node has made known here, under a NAME of your own. ID
is what share create printed there. List that node as a member; its owner has to
list this one.`,
		Example: `  ibgib-node share join 00112233445566778899aabbccddeeff family --member 12D3KooWExample`,
		Args:    argsBetween(2, 2, "ID and NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID, o.Name = args[0], args[1]
			if o.ID == "" {
				return usage(cmd, "ID is empty: it is what share create printed there")
			}
			return c.shareCreate(cmd.Context(), o)
		},
	}
	shareFlags(cmd, &o)
	return cmd
}

func shareSetCommand(c *cli) *cobra.Command {
	var direction, strategy string
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change settings of a share",
		Long: `Changes which way a share goes, or what becomes of its timelines that have diverged.
That holds for what comes from then on: what has been merged, or left to a person,
stays so. A sync of the share that runs ends when its direction changes. Where
sync.strategy in config.yaml is stricter, that rules, and is shown. A timeline that
several shares list is merged where one of them merges it; changes of that go to all.`,
		Example: `  ibgib-node share set family --strategy manual
  ibgib-node share set archive --direction send-only`,
		Args: argsBetween(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			set := node.ShareSettings{Direction: node.Direction(direction)}
			if strategy != "" {
				set.Strategy = new(saga.Strategy)
				if set.Strategy.UnmarshalText([]byte(strategy)) != nil {
					return usage(cmd, "--strategy is optimistic, manual or abort, not %q", strategy)
				}
			}
			if set == (node.ShareSettings{}) {
				return usage(cmd, "share set wants --direction or --strategy")
			}
			ctx := cmd.Context()
			return c.shareResult(ctx, accessExisting, func(client *api.Client) (node.Share, error) {
				return client.SetShare(ctx, args[0], set)
			})
		},
	}
	cmd.Flags().StringVar(&direction, "direction", "", "`WAY` that it goes: send-receive, send-only or receive-only")
	cmd.Flags().StringVar(&strategy, "strategy", "", "what becomes of its timelines that have diverged, `STRATEGY`: optimistic, manual or abort, see sync")
	return cmd
}

func (c *cli) shareCreate(ctx context.Context, o node.ShareOptions) error {
	return c.shareResult(ctx, accessCreate, func(client *api.Client) (node.Share, error) { return client.CreateShare(ctx, o) })
}

// shareResult does something with a share and shows what it is like then.
func (c *cli) shareResult(ctx context.Context, need access, f func(*api.Client) (node.Share, error)) error {
	var sh node.Share
	err := c.withNode(ctx, need, func(client *api.Client) (err error) {
		sh, err = f(client)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(sh, func(w io.Writer) { showShare(w, sh) })
}

func showShare(w io.Writer, sh node.Share) {
	t := newTable(w)
	t.row("share", printable(sh.Name))
	if sh.ID != "" {
		t.row("id", printable(sh.ID))
	}
	t.row("direction", string(sh.Direction))
	strategy := sh.Strategy.String()
	if sh.Strategy != sh.OwnStrategy {
		strategy += ", by sync.strategy in config.yaml; the share has " + sh.OwnStrategy.String()
	}
	t.row("strategy", strategy)
	t.row("timelines", fmt.Sprint(sh.Entries))
	if sh.Out > 0 {
		t.row("taken out", fmt.Sprint(sh.Out))
	}
	for _, m := range sh.Members {
		t.row("member", printable(m.PeerID))
	}
	t.end()
}

func shareListCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the shares, and those that others offer",
		Long: `Lists the shares of this node. OFFERED are those that a trusted node has asked for
and that are not shared with it here; join makes one known, member add lets the
node take part in one that is.`,
		Example: `  ibgib-node share list
  ibgib-node share list --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.shareList(cmd.Context()) },
	}
}

func (c *cli) shareList(ctx context.Context) error {
	var list node.ShareList
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		list, err = client.Shares(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(list, func(w io.Writer) {
		t := newTable(w, "SHARE", "ID", "DIRECTION", "STRATEGY", "TIMELINES", "MEMBERS")
		for _, sh := range list.Shares {
			id := sh.ID
			if id == "" {
				id = "-"
			}
			t.row(printable(sh.Name), printable(id), string(sh.Direction), sh.Strategy.String(), fmt.Sprint(sh.Entries), fmt.Sprint(len(sh.Members)))
		}
		t.end()
		if len(list.Offers) == 0 {
			return
		}
		fmt.Fprintln(w)
		t = newTable(w, "OFFERED", "BY", "SEEN (UTC)")
		for _, o := range list.Offers {
			t.row(printable(o.ID), printable(o.PeerID), showTime(o.Seen))
		}
		t.end()
	})
}

func shareShowCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a share: its members and timelines",
		Long: `Shows the members of a share, the timelines and constants that it lists here, and
those that are out of it for good, the latest first: taken out of it, until share add
puts them back, or forgotten, until forget --undo.`,
		Example: `  ibgib-node share show family
  ibgib-node share show default --json`,
		Args: argsBetween(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.shareShow(cmd.Context(), args[0]) },
	}
}

// shownShare is a share with what it lists.
type shownShare struct {
	node.Share
	Timelines []node.Timeline    `json:"timelines"`
	TakenOut  []node.OutTimeline `json:"takenOut"`
}

func (c *cli) shareShow(ctx context.Context, name string) error {
	var shown shownShare
	err := c.withNode(ctx, accessExisting, func(client *api.Client) error {
		list, err := client.Shares(ctx)
		if err != nil {
			return err
		}
		if shown.Timelines, err = client.ShareTimelines(ctx, name); err != nil {
			return err
		}
		shown.TakenOut, err = client.OutOfShare(ctx, name)
		for _, sh := range list.Shares {
			if sh.Name == name {
				shown.Share = sh
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.print(shown, func(w io.Writer) {
		showShare(w, shown.Share)
		if len(shown.Timelines) > 0 {
			fmt.Fprintln(w)
			t := newTable(w, "TIMELINE", "N", "LATEST")
			for _, tl := range shown.Timelines {
				t.row(shortHash(tl.Tjp), showN(tl.N), show(tl.Latest))
			}
			t.end()
		}
		if len(shown.TakenOut) > 0 {
			fmt.Fprintln(w)
			t := newTable(w, "OUT", "SINCE (UTC)", "BY", "TIMELINE")
			for _, o := range shown.TakenOut {
				by := "share remove"
				if o.Forgotten {
					by = "forget"
				}
				t.row(shortHash(o.Tjp), showTime(o.At), by, show(o.Tjp))
			}
			t.end()
		}
	})
}

func shareMemberCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "member",
		Short: "Say which nodes are members of a share",
		Long: `A member is a node that this one trusts. What a node that is removed has of the
share stays with it. Who loses trust leaves all shares.`,
		Example: `  ibgib-node share member add family 12D3KooWExample
  ibgib-node share member remove family 12D3KooWExample`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return usage(cmd, "share member wants add or remove, a NAME and a PEERID")
		},
	}
	member := func(use, short, long string, do func(*api.Client, context.Context, string, string) (node.Share, error)) *cobra.Command {
		return &cobra.Command{
			Use: use + " NAME PEERID", Short: short, Long: long,
			Example: "  ibgib-node share member " + use + " family 12D3KooWExample",
			Args:    argsBetween(2, 2, "NAME and PEERID"),
			RunE: func(cmd *cobra.Command, args []string) error {
				ctx := cmd.Context()
				return c.shareResult(ctx, accessExisting, func(client *api.Client) (node.Share, error) {
					return do(client, ctx, args[0], args[1])
				})
			},
		}
	}
	cmd.AddCommand(
		member("add", "Let a trusted node be a member", "Lets a trusted node be a member of a share. Its owner has to list this node, too.", (*api.Client).AddMember),
		member("remove", "End the membership of a node", "Ends the membership of a node, and a sync of the share with it that runs.", (*api.Client).RemoveMember))
	return cmd
}

func shareDeleteCommand(c *cli) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a share here, with what only it has",
		Long: `Deletes a share on this node, with its timelines that are in no other share. Members
keep what they have. It wants --yes, since there is no way back.`,
		Example: `  ibgib-node share delete family --yes`,
		Args:    argsBetween(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usage(cmd, "what only this share has is deleted with it; --yes says that this is meant")
			}
			ctx := cmd.Context()
			return c.withNode(ctx, accessExisting, func(client *api.Client) error { return client.DeleteShare(ctx, args[0]) })
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "delete it")
	return cmd
}

// inShares says in which shares something is.
func inShares(names []string) string {
	if len(names) == 0 {
		return fmt.Sprintf("none: gc frees what of it has been here for %.0f hours; gc --age 0s all of it", blockstore.DefaultGCAge.Hours())
	}
	return printable(strings.Join(names, ", "))
}
