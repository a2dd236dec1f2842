package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func graphCommand(c *cli) *cobra.Command {
	var format string
	var depth, limit int
	cmd := &cobra.Command{
		Use:   "graph ADDR",
		Short: "Draw what an ibGib links to",
		Long: `Draws an ibGib and what is reached from it, nearest first, as a tree or as a
picture for Graphviz. In the tree each ibGib is opened once; a later link to it
points back with (above).`,
		Example: `  ibgib-node graph 'note^HASH.TJPGIB'
  ibgib-node graph 'note^HASH.TJPGIB' --depth 2 --limit 50
  ibgib-node graph 'note^HASH.TJPGIB' --format dot | dot -Tsvg > note.svg`,
		Args: argsBetween(1, 1, "one ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := c.addrArg(cmd, args[0])
			if err != nil {
				return err
			}
			if format != "text" && format != "dot" {
				return usage(cmd, "--format is text or dot, not %q", format)
			}
			if format != "text" && c.json {
				return usage(cmd, "--format dot and --json exclude each other")
			}
			if depth < 0 || limit < 1 || limit > node.MaxGraph {
				return usage(cmd, "--depth is from 0, --limit from 1 to %d", node.MaxGraph)
			}
			return c.graph(cmd.Context(), addr, format, depth, limit)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "`FORMAT` of the drawing: text or dot")
	cmd.Flags().IntVar(&depth, "depth", 5, "go no more than `N` links away; 0: any number")
	cmd.Flags().IntVar(&limit, "limit", 1000, "draw no more than `N` ibGibs")
	return cmd
}

func (c *cli) graph(ctx context.Context, addr ibgib.Addr, format string, depth, limit int) error {
	var graph node.Graph
	err := c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
		graph, err = client.Graph(ctx, addr, depth, limit)
		return err
	})
	if err != nil {
		return err
	}
	if graph.More {
		fmt.Fprintln(c.err, "there is more: --depth and --limit say how much is drawn")
	}
	return c.print(graph, func(w io.Writer) {
		if format == "dot" {
			drawDot(w, graph)
		} else {
			drawTree(w, graph)
		}
	})
}

// drawTree draws a graph as an indented list. It is iterative, because others
// decide how deep a graph is.
func drawTree(w io.Writer, g node.Graph) {
	nodes := make(map[ibgib.Addr]node.GraphNode, len(g.Nodes))
	for _, n := range g.Nodes {
		nodes[n.Addr] = n
	}
	type step struct {
		link  node.GraphLink
		level int
	}
	drawn := make(map[ibgib.Addr]bool)
	for todo := []step{{link: node.GraphLink{Addr: g.Root}}}; len(todo) > 0; {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		n := nodes[at.link.Addr]
		fmt.Fprint(w, strings.Repeat("  ", at.level))
		if at.link.Rel8n != "" || at.level > 0 {
			fmt.Fprintf(w, "%s: ", printable(at.link.Rel8n))
		}
		note := ""
		switch {
		case n.Missing:
			note = "  (not stored)"
		case drawn[n.Addr] && len(n.Links) > 0:
			note = "  (above)"
		case n.More:
			note = "  (and more)"
		}
		fmt.Fprintf(w, "%s%s\n", show(at.link.Addr), note)
		if drawn[n.Addr] {
			continue
		}
		drawn[n.Addr] = true
		for i := len(n.Links) - 1; i >= 0; i-- {
			todo = append(todo, step{n.Links[i], at.level + 1})
		}
	}
}

// drawDot draws a graph in the language of Graphviz. Its names are numbers, so
// foreign text is in labels only.
func drawDot(w io.Writer, g node.Graph) {
	number := make(map[ibgib.Addr]int, len(g.Nodes))
	for i, n := range g.Nodes {
		number[n.Addr] = i
	}
	fmt.Fprint(w, "digraph ibgib {\n  rankdir=LR;\n  node [shape=box];\n")
	for i, n := range g.Nodes {
		style := ""
		switch {
		case n.Missing:
			style = ", style=dotted, color=red"
		case n.Primitive:
			style = ", style=dashed"
		case n.More:
			style = ", peripheries=2"
		}
		fmt.Fprintf(w, "  n%d [label=\"%s\\n%s\", tooltip=\"%s\"%s];\n", i,
			dotText(firstRunes(n.Addr.Ib(), dotLabel)), dotText(shortHash(n.Addr)), dotText(n.Addr.String()), style)
	}
	for i, n := range g.Nodes {
		for _, l := range n.Links {
			fmt.Fprintf(w, "  n%d -> n%d [label=\"%s\"];\n", i, number[l.Addr], dotText(l.Rel8n))
		}
	}
	fmt.Fprint(w, "}\n")
}

// dotLabel is how much of an ib a drawing shows, in characters; the tooltip has all.
const dotLabel = 60

func firstRunes(s string, most int) string {
	for i := range s {
		if most--; most < 0 {
			return s[:i] + "..."
		}
	}
	return s
}

// dotText returns text for between quotes: nothing in it ends the string, or is
// an escape of Graphviz or an HTML entity.
func dotText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;").Replace(printable(s))
}
