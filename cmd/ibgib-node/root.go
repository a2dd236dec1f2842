package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
)

// cli is one run of the program: where it reads and writes, and the flags that
// all commands share.
type cli struct {
	in       io.Reader
	out, err io.Writer

	data string // --data as given; see dataDir
	json bool   // --json

	where node.ChangeOptions // of commands that change something

	passphraseFD int // --passphrase-fd; negative: none
	passphrase   []byte
}

// run executes a command line, without the program's name, and reports what
// went wrong.
func (c *cli) run(ctx context.Context, args []string) exitCode {
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	err := root.ExecuteContext(ctx)
	code := exitCodeOf(ctx, err)
	c.json = c.json || asksForJSON(args)
	c.report(err, code)
	return code
}

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "ibgib-node",
		Short: "Keep ibGibs and sync them with other nodes",
		Long: fmt.Sprintf(`ibgib-node keeps ibGibs, small content-addressed records that link to each other
and evolve as timelines, and brings nodes that trust each other to the same
state.

Commands work with the node that runs on the data directory, or open the
directory themselves when none runs. Results go to standard output, everything
else to standard error.

An ADDR is the address of an ibGib, ib^gib, or at least the first %d digits of the
hash in one that is stored.`, node.MinDigits),
		Example: `  ibgib-node run
  ibgib-node new note --set '{"text":"hello"}'
  ibgib-node heads
  ibgib-node sync /ip4/192.0.2.7/tcp/4200/p2p/12D3KooWExample`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
		Version:       versionLine(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			// An empty variable in a script must not lead to another directory.
			if c.data == "" && cmd.Flags().Changed("data") {
				return usage(cmd, "--data is empty: name a directory, or leave --data out")
			}
			if c.passphraseFD >= 0 {
				// Now, since later the descriptor may be one that this program has opened.
				if _, err := c.readPassphrase(); err != nil {
					return usage(cmd, "--passphrase-fd %d: %v", c.passphraseFD, err)
				}
			}
			return nil
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		text, _, _ := strings.Cut(err.Error(), ": strconv.") // what Go calls it says nothing more
		return usage(cmd, "%s", text)
	})
	flags := root.PersistentFlags()
	flags.StringVar(&c.data, "data", "", "data directory `DIR` (default: "+dataEnv+", else the place the platform has for it)")
	flags.BoolVar(&c.json, "json", false, "print JSON of a stable form")
	flags.IntVar(&c.passphraseFD, "passphrase-fd", -1, "read the passphrase of the keystone's secret from file descriptor `N`")
	help := helpCommand()
	root.SetHelpCommand(help)
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"The node", []*cobra.Command{initCommand(c), runCommand(c), idCommand(c), configCommand(c), statusCommand(c), doctorCommand(c), statsCommand(c)}},
		{"Other nodes", []*cobra.Command{keystoneCommand(c), inviteCommand(c), trustCommand(c), untrustCommand(c), peersCommand(c), meshSecretCommand(c), syncCommand(c), shareCommand(c), sagasCommand(c), whyCommand(c), findCommand(c), fetchCommand(c), followCommand(c), unfollowCommand(c), provideCommand(c), pingCommand(c)}},
		{"Changes", []*cobra.Command{newCommand(c), mut8Command(c), rel8Command(c), forkCommand(c), stoneCommand(c), putCommand(c), conflictsCommand(c), forgetCommand(c)}},
		{"What is stored", []*cobra.Command{headsCommand(c), lsCommand(c), getCommand(c), logCommand(c), diffCommand(c), graphCommand(c)}},
		{"Files and upkeep", []*cobra.Command{importCommand(c), exportCommand(c), gibCommand(c), verifyCommand(c), gcCommand(c), backupCommand(c), restoreCommand(c)}},
		{"This program", []*cobra.Command{help, versionCommand(c), completionCommand(c)}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title + ":"})
		for _, cmd := range group.commands {
			cmd.GroupID = group.title
			root.AddCommand(cmd)
		}
	}
	root.AddCommand(exitCodesTopic())
	return root
}

func unknownCommand(cmd *cobra.Command, name string) error {
	text := fmt.Sprintf("there is no command %q", name)
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage(cmd, "%s", text)
}

// argsBetween wants from least to most arguments, most < 0 being no bound;
// what names them.
func argsBetween(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			name := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
			return usage(cmd, "%s takes %s, not %s", name, what, count(len(args), "argument"))
		}
		return nil
	}
}

func noArgs() cobra.PositionalArgs { return argsBetween(0, 0, "no arguments") }
