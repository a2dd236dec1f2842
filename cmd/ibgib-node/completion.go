package main

import (
	"github.com/spf13/cobra"
)

func completionCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes command lines",
		Long: `Prints a script that lets a shell complete the command lines of this program.
SHELL is bash, zsh, fish or powershell.`,
		Example: `  ibgib-node completion bash > ~/.local/share/bash-completion/completions/ibgib-node
  ibgib-node completion zsh > "${fpath[1]}/_ibgib-node"
  ibgib-node completion fish > ~/.config/fish/completions/ibgib-node.fish`,
		Args:      argsBetween(1, 1, "one SHELL"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(c.out, true)
			case "zsh":
				return root.GenZshCompletion(c.out)
			case "fish":
				return root.GenFishCompletion(c.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(c.out)
			}
			return usage(cmd, "SHELL is bash, zsh, fish or powershell, not %q", args[0])
		},
	}
}
