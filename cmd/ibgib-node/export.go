package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
	"github.com/ibgib/ibgib-node/node/form"
)

func exportCommand(c *cli) *cobra.Command {
	var all bool
	var output, format string
	var timelines []string
	cmd := &cobra.Command{
		Use:   "export [ADDR...]",
		Short: "Write ibGibs and all they link to",
		Long: `Writes ibGibs and everything that is reached from them, exactly as they are
hashed, each after those it links to. With --all it writes everything that is
stored. What import reads back is the same. An ADDR leads to what is older than it:
--timeline writes a whole timeline, with all branches of one that has diverged.

FORMAT is one of
  ndjson  one ibGib a line
  array   a JSON array
  map     a JSON object with each ibGib under its address
  raw     the raw export of the TypeScript apps, about the one ADDR`,
		Example: `  ibgib-node export --all > space.ndjson
  ibgib-node export 'note^HASH.TJPGIB' --output note.ndjson
  ibgib-node export --timeline 'note^HASH' --output note.ndjson
  ibgib-node export --all --format array --output space.json
  ibgib-node export 'note^HASH.TJPGIB' --format raw --output note.json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args)+len(timelines) > 0) {
				return usage(cmd, "export wants either addresses, or timelines, or --all")
			}
			to := form.Form(format)
			switch to {
			case form.NDJSON, form.Array, form.Map:
			case form.Raw:
				if len(args) != 1 {
					return usage(cmd, "--format raw wants one ADDR, which the export is about, and may have timelines beside it")
				}
			default:
				return usage(cmd, "--format is ndjson, array, map or raw, not %q", format)
			}
			addrs, err := c.addrArgs(cmd, args)
			if err != nil {
				return err
			}
			whole, err := c.addrArgs(cmd, timelines)
			if err != nil {
				return err
			}
			if output == "" {
				return usage(cmd, "--output needs the name of a file, or - for standard output")
			}
			return c.export(cmd.Context(), addrs, whole, all, to, output)
		},
	}
	cmd.Flags().StringArrayVar(&timelines, "timeline", nil, "write the timeline whole of which `ADDR` is the tjp or a frame (repeatable)")
	cmd.Flags().BoolVar(&all, "all", false, "write everything that is stored")
	cmd.Flags().StringVar(&format, "format", string(form.NDJSON), "`FORMAT` of the file")
	cmd.Flags().StringVarP(&output, "output", "o", stdio, "write to `FILE`, which appears only when it is complete; - is standard output")
	return cmd
}

func (c *cli) export(ctx context.Context, addrs, timelines []ibgib.Addr, all bool, to form.Form, output string) error {
	var result node.ExportResult
	write := func(w io.Writer) error {
		return c.withNode(ctx, accessExisting, func(client *api.Client) (err error) {
			bar := c.newProgress()
			defer bar.clear()
			formed, err := form.NewWriter(w, to, append(addrs, ibgib.Addr{})[0])
			if err != nil {
				return err
			}
			from := slices.Clone(addrs)
			for _, addr := range timelines {
				t, err := client.Latest(ctx, addr)
				if err != nil {
					return err
				}
				from = append(append(from, t.Latest), t.Heads...)
			}
			counted := &countingWriter{w: formed, wrote: func(lines, bytes int64) {
				bar.show(0, 0, "%d ibGibs, %s", lines, showBytes(bytes))
			}}
			if result, err = client.Export(ctx, counted, from, all); err != nil {
				return err
			}
			err = formed.Close()
			result.Bytes = formed.Bytes()
			return err
		})
	}
	var err error
	if output == stdio {
		err = write(c.safeOut())
	} else {
		err = writeFile(output, write)
	}
	if err != nil {
		return err
	}
	if len(result.Missing) > 0 {
		fmt.Fprintf(c.err, "%s not stored here, for example %s\n", count(len(result.Missing), "linked ibGib"), show(result.Missing[0]))
	}
	if output == stdio {
		return nil
	}
	return c.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s, %s\n", count(result.IbGibs, "ibGib"), showBytes(result.Bytes))
	})
}

// stdio names standard input and output among files.
const stdio = "-"

// writeFile writes a file beside its name and puts it in place when it is
// complete; a file that it replaces hands on its mode. What is no regular file,
// such as a device or a pipe, is written to as it is, and a symbolic link stays:
// the file that it leads to is replaced.
func writeFile(name string, write func(io.Writer) error) (err error) {
	mode := fs.FileMode(0o600)
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	switch info, err := os.Stat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return usage(nil, "%s is a folder: name a file in it", name)
	case !info.Mode().IsRegular():
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	default:
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		// The name of the file beside it means nothing to anybody.
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = &fs.PathError{Op: "create", Path: name, Err: e.Err}
		}
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := errors.Join(f.Chmod(mode), write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// countingWriter counts lines and bytes.
type countingWriter struct {
	w            io.Writer
	lines, bytes int64
	wrote        func(lines, bytes int64)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.bytes += int64(n)
	for _, b := range p[:n] {
		if b == '\n' {
			c.lines++
		}
	}
	c.wrote(c.lines, c.bytes)
	return n, err
}
