package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func mut8Command(c *cli) *cobra.Command {
	var set, ib string
	var rename, remove []string
	cmd := &cobra.Command{
		Use:   "mut8 ADDR",
		Short: "Change the data or the ib of a timeline",
		Long: `Adds a frame with changed data to the timeline that ADDR belongs to, on top of
its latest frame, and prints the address of the new frame. ADDR is the tjp or
any frame.

First members are renamed, then removed, then --set is merged in: objects member
by member, everything else replaces what was there. Members inside of objects
are named with --rename and --remove by JSON objects, as dna records them:
'{"inner":{"old":"new"}}'.`,
		Example: `  ibgib-node mut8 'note^HASH.TJPGIB' --set '{"text":"hello again"}'
  ibgib-node mut8 'note^HASH' --rename text=body --remove draft
  ibgib-node mut8 'note^HASH' --ib 'note about gardens'
  generate | ibgib-node mut8 'note^HASH' --set -`,
		Args: argsBetween(1, 1, "one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			addr, err := c.addrArg(cmd, args[0])
			if err != nil {
				return err
			}
			if set == "" && ib == "" && len(rename)+len(remove) == 0 {
				return usage(cmd, "mut8 wants at least one of --set, --rename, --remove and --ib")
			}
			o := ibgib.Mut8Options{Ib: ib}
			if o.Patch, err = c.objectArg(ctx, cmd, "set", set); err != nil {
				return err
			}
			if o.Rename, err = c.renameArg(ctx, cmd, rename); err != nil {
				return err
			}
			if o.Remove, err = c.removeArg(ctx, cmd, remove); err != nil {
				return err
			}
			return c.mut8(ctx, addr, o)
		},
	}
	cmd.Flags().StringVar(&set, "set", "", "members to add or replace, a `JSON` object, @FILE, or - for standard input")
	cmd.Flags().StringArrayVar(&rename, "rename", nil, "a member to rename, `OLD=NEW`, or a JSON object (repeatable)")
	cmd.Flags().StringArrayVar(&remove, "remove", nil, "a member to remove, `NAME`, or a JSON object (repeatable)")
	cmd.Flags().StringVar(&ib, "ib", "", "the new `IB`")
	return cmd
}

// renameArg reads the texts of --rename into one object; absent for no texts.
func (c *cli) renameArg(ctx context.Context, cmd *cobra.Command, texts []string) (ibgib.Value, error) {
	return c.membersArg(ctx, cmd, "rename", texts, func(text string) (ibgib.Member, error) {
		old, name, ok := strings.Cut(text, "=")
		if !ok {
			return ibgib.Member{}, usage(cmd, "--rename wants OLD=NEW, not %q", text)
		}
		return ibgib.Member{Name: old, Value: ibgib.String(name)}, nil
	})
}

// removeArg reads the texts of --remove into one object; absent for no texts.
func (c *cli) removeArg(ctx context.Context, cmd *cobra.Command, texts []string) (ibgib.Value, error) {
	return c.membersArg(ctx, cmd, "remove", texts, func(text string) (ibgib.Member, error) {
		// Any text marks a member to remove; the public implementation's tests use this one.
		return ibgib.Member{Name: text, Value: ibgib.String("remove")}, nil
	})
}

// membersArg joins texts, each one member or a JSON object, into one object.
func (c *cli) membersArg(ctx context.Context, cmd *cobra.Command, flag string, texts []string, member func(string) (ibgib.Member, error)) (ibgib.Value, error) {
	var all ibgib.Value
	for _, text := range texts {
		var members []ibgib.Member
		if strings.HasPrefix(strings.TrimSpace(text), "{") {
			v, err := c.objectArg(ctx, cmd, flag, text)
			if err != nil {
				return all, err
			}
			members = v.Members()
		} else {
			m, err := member(text)
			if err != nil {
				return all, err
			}
			members = []ibgib.Member{m}
		}
		if all.Kind() == ibgib.KindAbsent {
			all = ibgib.Object()
		}
		for _, m := range members {
			if _, twice := all.Get(m.Name); twice {
				return all, usage(cmd, "--%s names %q twice", flag, m.Name)
			}
			all = all.With(m.Name, m.Value)
		}
	}
	return all, nil
}

func (c *cli) mut8(ctx context.Context, addr ibgib.Addr, o ibgib.Mut8Options) error {
	return c.change(ctx, accessExisting, func(client *api.Client) (node.Change, error) {
		return client.Mut8(ctx, addr, o)
	})
}
