package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/api"
)

// errorReport is what an error is with --json: the last line of standard error,
// {"error": {...}}.
type errorReport struct {
	Code    api.Code `json:"code"`            // of the control API, or the word for the exit code
	Message string   `json:"message"`         // what happened, to what; one line
	Hint    string   `json:"hint,omitempty"`  // what to do about it
	Rule    string   `json:"rule,omitempty"`  // that was broken
	Retry   bool     `json:"retry,omitempty"` // trying again later may help
	Exit    exitCode `json:"exit"`
}

// report says what went wrong: what happened, then what to do.
func (c *cli) report(err error, code exitCode) {
	if code == exitOK || code == exitPipe {
		return
	}
	r := errorReport{Code: wordOf(code), Message: message(err), Exit: code}
	if e, ok := errors.AsType[*api.Error](err); ok {
		r.Code, r.Rule, r.Retry = e.Code, e.Rule, e.Retry
	}
	if errors.Is(err, blockstore.ErrDiskFull) {
		r.Code = api.CodeDiskFull
	}
	if e, ok := errors.AsType[*ibgib.Refusal](err); ok {
		r.Code, r.Rule, r.Message = api.CodeRefused, string(e.Rule), fmt.Sprintf("refused (%s): %s", e.Rule, e.Detail)
	}
	if r.Code == api.CodeRefused {
		r.Message = withFlags(r.Message)
	}
	if h, ok := errors.AsType[*hintError](err); ok {
		r.Hint = h.hint
	}
	if u, ok := errors.AsType[*usageError](err); ok && u.cmd != nil {
		r.Hint = u.cmd.CommandPath() + " --help says more"
	}
	if r.Code == api.CodeDiskFull && r.Hint == "" {
		r.Hint = "make room on that disk and try again; what is stored is as it was"
	}
	if errors.Is(err, blockstore.ErrReadOnly) && r.Hint == "" {
		r.Hint = "copy the data directory to where you can write, or restore a backup there, and name that with --data"
	}
	if code == exitCanceled {
		r = errorReport{Code: wordOf(code), Message: "stopped", Exit: code}
	}
	if c.json {
		if text, err := toJSON(map[string]errorReport{"error": r}); err == nil {
			c.err.Write(text)
		}
		return
	}
	fmt.Fprintf(c.err, "ibgib-node: %s\n", printable(r.Message))
	for line := range strings.Lines(r.Hint) {
		fmt.Fprintf(c.err, "  %s\n", strings.TrimSuffix(line, "\n"))
	}
}

// withFlags puts into the text of a refused transform, for the names that its
// options have in dna, the flags by which they were given.
func withFlags(text string) string {
	return strings.NewReplacer(
		"destIb", "IB", "mut8Ib", "--ib",
		"dataToRename", "--rename", "dataToRemove", "--remove", "dataToAddOrPatch", "--set",
		"rel8nsToAddByAddr", "--add", "rel8nsToRemoveByAddr", "--remove",
	).Replace(text)
}

// asksForJSON tells whether a command line that could not be read has --json.
func asksForJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json")
}

// message returns the text of an error as one line. The code of an API error
// shows in the exit code, and the names of packages help nobody here.
func message(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*api.Error](err); ok {
		text = strings.Replace(text, e.Error(), e.Message, 1)
	}
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return api.Plain(strings.Join(lines, "; "))
}
