package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

// fromTrusted is --from for all trusted peers.
const fromTrusted = "trusted"

func followCommand(c *cli) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "follow [ADDR]",
		Short: "Say from whom a timeline's changes are taken, or list what was said",
		Long: `Keeps the timeline of ADDR, the address of any of its frames, in sync from now on, and
takes its changes only from peers that are trusted and prove that they speak for KEYSTONE;
with --from trusted from all peers that are trusted, as those of other timelines. A
timeline that is not here yet comes with the next sync; peers that are connected are
synced with at once. What another peer brings of such a timeline is kept out, and sync
lists it as that.

What is changed here, and what fetch brings, is not affected. Without ADDR the command
lists what is followed. peers --json shows the keystones of peers.`,
		Example: `  ibgib-node follow
  ibgib-node follow 'note^8DA5BBD7C74A8A14DEE4D5D321138A0B0976722A6E5DD75326C52EB41B4E5F97' --from trusted
  ibgib-node follow 8DA5BBD7C74A --from 'keystone^HASH'`,
		Args: argsBetween(0, 1, "one ADDR at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				if from != "" {
					return usage(cmd, "--from wants an ADDR")
				}
				return c.listFollows(cmd.Context())
			}
			var keystone ibgib.Addr
			switch from {
			case "":
				return usage(cmd, "--from says whose changes are taken: a keystone, or trusted")
			case fromTrusted:
			default:
				var err error
				if keystone, err = ibgib.ParseAddr(from); err != nil {
					return usage(cmd, "--from is trusted or the address of a keystone, not %q", from)
				}
			}
			addr, err := c.addrArg(cmd, args[0])
			if err != nil {
				return err
			}
			return c.follow(cmd.Context(), addr, keystone)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "whose changes are taken: `KEYSTONE`, or trusted")
	return cmd
}

func unfollowCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "unfollow ADDR",
		Short:   "Take a timeline's changes from all trusted peers again",
		Long:    `Ends what follow began: the timeline of ADDR is one like any other again.`,
		Example: `  ibgib-node unfollow 8DA5BBD7C74A`,
		Args:    argsBetween(1, 1, "one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := c.addrArg(cmd, args[0])
			if err != nil {
				return err
			}
			return c.unfollow(cmd.Context(), addr)
		},
	}
}

func (c *cli) listFollows(ctx context.Context) error {
	return c.withNode(ctx, accessExisting, func(client *api.Client) error {
		list, err := client.Follows(ctx)
		if err != nil {
			return err
		}
		return printList(c, each(list), "nothing is followed: ibgib-node follow ADDR --from KEYSTONE begins to", []string{"TIMELINE", "FROM"},
			func(f node.Follow) []string { return []string{show(f.Timeline), showFrom(f)} })
	})
}

// showFrom says whose changes are taken.
func showFrom(f node.Follow) string {
	if f.From.IsZero() {
		return fromTrusted
	}
	return show(f.From)
}

func (c *cli) follow(ctx context.Context, addr, keystone ibgib.Addr) error {
	var result node.FollowResult
	err := c.withNode(ctx, accessCreate, func(client *api.Client) (err error) {
		result, err = client.Follow(ctx, addr, keystone)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(result, func(w io.Writer) {
		t := newTable(w)
		t.row("follows", show(result.Timeline))
		t.row("from", showFrom(result.Follow))
		t.row("peers", count(len(result.Peers), "trusted peer")+" that it may come from")
		t.row("synced", "with "+count(len(result.Syncs), "peer"))
		t.end()
		if len(result.Peers) == 0 {
			fmt.Fprintln(w, "nothing comes until a peer with that keystone is trusted")
		}
	})
}

func (c *cli) unfollow(ctx context.Context, addr ibgib.Addr) error {
	var was node.Follow
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		was, err = client.Unfollow(ctx, addr)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(was, func(w io.Writer) {
		fmt.Fprintf(w, "unfollowed  %s\n", show(was.Timeline))
	})
}
