package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func importCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Store the ibGibs of files",
		Long: `Stores the ibGibs of files; - is standard input. A file holds one JSON object a
line, a JSON array, a JSON object with each ibGib under its address, or the raw
export of a TypeScript app, whose content is stored and not the export itself.
Which one it is shows in how it begins.

What the intake rules refuse is reported and left out, the rest is stored. An
ibGib whose links are not all there yet is stored too, and joins its timeline
when they arrive; the order in a file does not matter. An import that was
stopped can be repeated.

Files go to the default share. What links to timelines or constants that only
another share has waits, too, and they are listed; --include brings them into the
default share.

What is refused is told as it is met, the first 100 of each file; --json lists up to
1,000. Exit code 1 says that something was refused.`,
		Example: `  ibgib-node import space.ndjson
  ibgib-node import exported.json
  ibgib-node import a.ndjson b.ndjson --json
  ibgib-node export --all --data other | ibgib-node import -`,
		Args: argsBetween(1, -1, "at least one FILE, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.importFiles(cmd.Context(), args) },
	}
	c.whereFlags(cmd, false)
	return cmd
}

// importResult is the sum over all files; form and context are those of the last.
type importResult struct {
	node.ImportResult
	Refused []refusedItem `json:"refused"`
}

// refusedItem is what was refused of one of the files.
type refusedItem struct {
	File string `json:"file"` // - for standard input
	node.Refused
}

// maxListed bounds each list of a result, as package node does for one file.
const maxListed = 1000

func (c *cli) importFiles(ctx context.Context, names []string) error {
	if err := exists(names); err != nil {
		return err
	}
	sum := importResult{Refused: []refusedItem{}}
	sum.Incomplete = []node.Missing{}
	err := c.withNode(ctx, accessCreate, func(client *api.Client) error {
		for _, name := range names {
			result, err := c.importFile(ctx, client, name)
			if err != nil {
				return fmt.Errorf("import %s: %w", name, err)
			}
			sum.add(name, result)
		}
		if len(names) == 1 {
			return nil
		}
		return sum.dropArrived(ctx, client)
	})
	if err != nil {
		return err
	}
	if err := c.print(sum, sum.show); err != nil {
		return err
	}
	if n := len(sum.Refused) + sum.RefusedMore; n > 0 {
		return problems("%s refused", count(n, "ibGib"))
	}
	return nil
}

// shownRefusals is how many lines tell what is refused of one file.
const shownRefusals = 100

// importFile imports one file and reports at once what is refused.
func (c *cli) importFile(ctx context.Context, client *api.Client, name string) (node.ImportResult, error) {
	in, err := c.open(ctx, name)
	if err != nil {
		return node.ImportResult{}, err
	}
	defer in.Close()
	bar := c.newProgress()
	defer bar.clear()
	size, refused := fileSize(in), 0
	return client.With(c.where).Import(ctx, in, func(p node.ImportProgress) {
		if p.Refused != nil {
			refused++
		}
		switch r := p.Refused; {
		case r == nil || refused > shownRefusals+1:
		case refused > shownRefusals:
			bar.clear()
			fmt.Fprintf(c.err, "%s: more is refused; it is counted from here on, and not shown\n", printable(name))
		default:
			bar.clear()
			place := fmt.Sprintf("%s:%d", printable(name), r.Line)
			if r.Item > 0 {
				place += fmt.Sprintf(", item %d", r.Item)
			}
			fmt.Fprintf(c.err, "%s: refused (%s): %s\n", place, r.Rule, printable(r.Detail))
		}
		bar.show(p.Bytes, size, "%d read, %d stored", p.Read, p.Stored)
	})
}

// fileSize returns the size of a plain file in bytes, 0 for anything else.
func fileSize(r io.Reader) int64 {
	f, ok := r.(*os.File)
	if !ok {
		return 0
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

func (s *importResult) add(file string, r node.ImportResult) {
	s.Form, s.Context = r.Form, r.Context
	s.Read += r.Read
	s.Stored += r.Stored
	s.Present += r.Present
	s.Moved += r.Moved
	s.RefusedMore += r.RefusedMore
	for _, refused := range r.Refused {
		if len(s.Refused) == maxListed {
			s.RefusedMore++
			continue
		}
		s.Refused = append(s.Refused, refusedItem{file, refused})
	}
	s.IncompleteMore += r.IncompleteMore
	for _, missing := range r.Incomplete {
		if len(s.Incomplete) == maxListed {
			s.IncompleteMore++
			continue
		}
		s.Incomplete = append(s.Incomplete, missing)
	}
	s.Outside = append(s.Outside, r.Outside...)
	slices.SortFunc(s.Outside, ibgib.CompareAddr)
	s.Outside = slices.Compact(s.Outside)
	s.Outside = s.Outside[:min(len(s.Outside), maxListed)]
	s.Rejected = append(s.Rejected, r.Rejected...)
	s.Rejected = s.Rejected[:min(len(s.Rejected), maxListed)]
}

// dropArrived takes out of Incomplete what a later file brought.
func (s *importResult) dropArrived(ctx context.Context, client *api.Client) error {
	left := s.Incomplete[:0]
	for _, missing := range s.Incomplete {
		_, err := client.Get(ctx, missing.Addr)
		switch {
		case isCode(err, api.CodeNotFound):
			left = append(left, missing)
		case err != nil:
			return err
		}
	}
	s.Incomplete = left
	return nil
}

func (s *importResult) show(w io.Writer) {
	fmt.Fprintf(w, "read %d, stored %d, present %d, refused %d\n", s.Read, s.Stored, s.Present, len(s.Refused)+s.RefusedMore)
	if !s.Context.IsZero() {
		fmt.Fprintf(w, "the export is about %s\n", show(s.Context))
	}
	if s.Moved > 0 {
		fmt.Fprintf(w, "%s changed\n", count(s.Moved, "timeline"))
	}
	for _, m := range s.Incomplete {
		showMissing(w, m)
	}
	if s.IncompleteMore > 0 {
		fmt.Fprintf(w, "and %d more missing\n", s.IncompleteMore)
	}
	for i, tjp := range s.Outside {
		if i == 0 {
			fmt.Fprintln(w, "links to what other shares have; --include brings them into the default share:")
		}
		fmt.Fprintf(w, "  %s\n", show(tjp))
	}
	for _, r := range s.Rejected {
		fmt.Fprintf(w, "kept out  %s\n  %s: %s\n", show(r.Addr), printable(r.Rule), printable(r.Detail))
	}
}
