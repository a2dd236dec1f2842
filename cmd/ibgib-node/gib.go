package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/form"
)

func gibCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "gib [FILE|-]",
		Short: "Compute or check the addresses of ibGibs",
		Long: `Reads ibGibs, one JSON object {"ib", "gib", "data", "rel8ns"} a line, and prints
one JSON line for each: its address, or the rule that refuses it. A missing gib
is computed, a given one compared. Blank lines are passed over but counted.

Without FILE, or with -, standard input is read. Nothing is stored, no data
directory is needed. Memory is bounded by the longest line.

Exit code 1 says that a line was refused.`,
		Example: `  echo '{"ib":"ib"}' | ibgib-node gib
  ibgib-node gib notes.ndjson
  ibgib-node gib - < notes.ndjson`,
		Args: argsBetween(0, 1, "one FILE, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.gib(cmd.Context(), args)
		},
	}
}

func (c *cli) gib(ctx context.Context, args []string) error {
	name := "-"
	if len(args) == 1 {
		name = args[0]
	}
	in, err := c.open(ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	lines, refused, err := gibLines(ctx, in, c.out)
	if err != nil {
		return err
	}
	if refused > 0 {
		return problems("%d of %d ibGibs refused", refused, lines)
	}
	return nil
}

// gibLine is the answer to one line: the address, or what refuses it.
type gibLine struct {
	Line    int        `json:"line"`
	Addr    string     `json:"addr,omitempty"`
	Refused ibgib.Rule `json:"refused,omitempty"`
	Detail  string     `json:"detail,omitempty"`
	Claimed string     `json:"claimed,omitempty"` // the address that a refused line says it has
}

// gibLines answers each line of r on w, at once where r pauses. It returns how
// many ibGibs there were and how many were refused.
func gibLines(ctx context.Context, r io.Reader, w io.Writer) (lines, refused int, err error) {
	in := form.NewLineReader(r, form.MaxLine)
	out := bufio.NewWriter(w)
	defer func() { err = errors.Join(err, out.Flush()) }()
	for {
		if err := ctx.Err(); err != nil {
			return lines, refused, err
		}
		if in.Paused() {
			if err := out.Flush(); err != nil {
				return lines, refused, err
			}
		}
		item, err := in.Next()
		if err == io.EOF {
			return lines, refused, nil
		}
		if err != nil {
			return lines, refused, fmt.Errorf("line %d: %w", item.Line, err)
		}
		answer := gibLine{Line: item.Line}
		if item.TooLong {
			answer.Refused = ibgib.RuleTooLarge
			answer.Detail = fmt.Sprintf("line over the limit of %d bytes", form.MaxLine)
		} else {
			answer.fill(ibgib.Gib(item.Text))
		}
		lines++
		if answer.Refused != "" {
			refused++
		}
		line, err := toJSON(answer)
		if err != nil {
			return lines, refused, err
		}
		if _, err := out.Write(line); err != nil {
			return lines, refused, err
		}
	}
}

func (l *gibLine) fill(g ibgib.IbGib, err error) {
	if err == nil {
		l.Addr = g.Addr().String()
		return
	}
	l.Refused, l.Detail = ibgib.RuleBadRecord, err.Error()
	if r, ok := errors.AsType[*ibgib.Refusal](err); ok {
		l.Refused, l.Detail, l.Claimed = r.Rule, r.Detail, r.Addr
	}
}
