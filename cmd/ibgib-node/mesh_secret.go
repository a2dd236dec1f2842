package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
)

func meshSecretCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "mesh-secret FILE",
		Short: "Make a secret for a mesh of nodes",
		Long: `Makes a new random secret and writes it to a file that only its owner may read.
The nodes of one mesh all have the same: copy the file to each machine, by a way
that nobody else sees, and name it with run --mesh-secret FILE. Whoever has it
can find these nodes, and is trusted by those that run with --trust lan.

A file that is there already is left as it is.`,
		Example: `  ibgib-node mesh-secret secret`,
		Args:    argsBetween(1, 1, "one FILE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.meshSecret(args[0]) },
	}
}

type meshSecretResult struct {
	File string `json:"file"`
}

func (c *cli) meshSecret(path string) error {
	err := node.WriteMeshSecret(path)
	if errors.Is(err, fs.ErrExist) {
		return problems("there is a file %s already; it was left as it is", path)
	}
	if err != nil {
		return err
	}
	return c.print(meshSecretResult{path}, func(w io.Writer) {
		fmt.Fprintf(w, "secret  %s\n", printable(path))
	})
}
