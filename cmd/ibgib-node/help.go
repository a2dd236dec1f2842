package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about a command",
		Long:  `Shows the help of a command, as --help does; without a name, all commands.`,
		Example: `  ibgib-node help
  ibgib-node help sync
  ibgib-node help conflicts show
  ibgib-node help exit-codes`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			at := cmd.Root()
			for _, name := range args {
				i := slices.IndexFunc(at.Commands(), func(sub *cobra.Command) bool { return sub.Name() == name })
				if i < 0 {
					return unknownCommand(at, name)
				}
				at = at.Commands()[i]
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
	}
}

// exitCodesTopic is what "ibgib-node help exit-codes" shows.
func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("Every command ends with one of these codes:\n\n")
	for _, m := range exitTable() {
		fmt.Fprintf(&b, "  %3d  %s\n", m.code, m.when)
	}
	b.WriteString(`
With --json, the last line on standard error is then an object
  {"error": {"code": ..., "message": ..., "hint": ..., "exit": ...}}
where exit is the code of this table, message one line for people, hint (if there
is one) what to do, and code a stable word:

`)
	b.WriteString(strings.Join(errorCodes(), "\n"))
	b.WriteString("\n\nRule, if it is there, is the rule that was broken; retry says that trying again\nlater may help.\n")
	return &cobra.Command{Use: "exit-codes", Short: "The exit codes, and errors with --json", Long: b.String()}
}

// errorCodes lists the words by exit code.
func errorCodes() []string {
	var lines []string
	for _, m := range exitTable() {
		line := fmt.Sprintf("  %3d ", m.code)
		for _, word := range m.words {
			line += " " + string(word)
		}
		if len(m.words) > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}
