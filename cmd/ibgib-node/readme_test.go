package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// allCommands returns a command and all below it.
func allCommands(root *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{root}
	for _, sub := range root.Commands() {
		list = append(list, allCommands(sub)...)
	}
	return list
}

// Every command line that the README and the help of the commands show has the
// shape of one that a script runs: the command, its flags, and the number of
// its arguments.
func TestDocumentedCommandLinesAreTested(t *testing.T) {
	tested := testedShapes(t)
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := consoleLines(string(readme))
	if len(lines) == 0 {
		t.Error("the README shows no command line")
	}
	c := &cli{}
	for _, cmd := range allCommands(c.rootCommand()) {
		lines = append(lines, strings.Split(cmd.Example, "\n")...)
	}
	for _, line := range lines {
		for _, shape := range shapes(line) {
			if shape == "" {
				t.Errorf("%q is no command line", strings.TrimSpace(line))
			} else if !tested[shape] {
				t.Errorf("no script runs a command like %q (%s)", strings.TrimSpace(line), shape)
			}
		}
	}
}

// consoleLines returns what follows the prompt in the console blocks of
// Markdown text.
func consoleLines(text string) []string {
	var lines []string
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch rest, isPrompt := strings.CutPrefix(line, "$ "); {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && isPrompt:
			lines = append(lines, rest)
		}
	}
	return lines
}

func testedShapes(t *testing.T) map[string]bool {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatal(err, "no scripts")
	}
	tested := make(map[string]bool)
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(text), "\n-- ")
		for line := range strings.Lines(script) {
			line = strings.TrimSpace(line)
			// What start runs is ibgib-node run.
			if rest, ok := strings.CutPrefix(line, "start "); ok {
				_, args, _ := strings.Cut(rest, " ")
				line = "ibgib-node run --data x " + args
			}
			for _, shape := range shapes(line) {
				tested[shape] = true
			}
		}
	}
	return tested
}

// shapes returns the shape of each ibgib-node command in a line.
func shapes(line string) []string {
	var list []string
	words := shellWords(line)
	for i, word := range words {
		if word != "ibgib-node" && !strings.HasSuffix(word, "/ibgib-node") {
			continue
		}
		args := words[i+1:]
		if end := slices.IndexFunc(args, func(w string) bool { return w == "|" || w == ">" || w == "<" || w == "&" }); end >= 0 {
			args = args[:end]
		}
		list = append(list, shape(args))
	}
	return list
}

// shape parses the arguments of one command as the program does. --data, --json
// and how often an argument is repeated do not count. It is empty for a command
// line that is wrong.
func shape(args []string) string {
	c := &cli{}
	cmd, rest, err := c.rootCommand().Find(args)
	if err == nil {
		cmd.InitDefaultHelpFlag()
		cmd.InitDefaultVersionFlag()
		err = cmd.ParseFlags(rest)
	}
	if err != nil {
		return ""
	}
	var flags []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != "data" && f.Name != "json" {
			flags = append(flags, "--"+f.Name)
		}
	})
	return fmt.Sprint(cmd.CommandPath(), flags, min(len(cmd.Flags().Args()), 2))
}

// shellWords splits a line as a shell would, as far as documented lines need it.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	quoted, some := false, false
	for _, r := range line + " " {
		switch {
		case r == '\'':
			quoted, some = !quoted, true
		case r == ' ' && !quoted:
			if some {
				words = append(words, word.String())
			}
			word.Reset()
			some = false
		default:
			word.WriteRune(r)
			some = true
		}
	}
	return words
}

// The table of exit codes in the README is the one of the program.
func TestReadmeHasTheExitCodes(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range exitTable() {
		if row := fmt.Sprintf("\n| %d | %s |\n", m.code, m.when); !strings.Contains(string(readme), row) {
			t.Errorf("the README lacks the row %q", row)
		}
	}
}
