package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

// addrArg reads an address from the command line, or the first digits of the hash
// in one that is stored.
func (c *cli) addrArg(cmd *cobra.Command, text string) (ibgib.Addr, error) {
	return c.shortAddr(cmd, text, (*api.Client).Expand)
}

// keystoneArg does what addrArg does for the address of a keystone or one of its frames.
func (c *cli) keystoneArg(cmd *cobra.Command, text string) (ibgib.Addr, error) {
	return c.shortAddr(cmd, text, (*api.Client).ExpandKeystone)
}

func (c *cli) shortAddr(cmd *cobra.Command, text string, expand func(*api.Client, context.Context, string) (ibgib.Addr, error)) (ibgib.Addr, error) {
	if !node.IsAbbreviation(text) {
		return readAddr(cmd, text, "address (ib^gib), nor the first digits of a hash, 6 at least")
	}
	var addr ibgib.Addr
	err := c.withNode(cmd.Context(), accessExisting, func(client *api.Client) (err error) {
		addr, err = expand(client, cmd.Context(), text)
		return err
	})
	return addr, err
}

func (c *cli) addrArgs(cmd *cobra.Command, texts []string) ([]ibgib.Addr, error) {
	addrs := make([]ibgib.Addr, len(texts))
	for i, text := range texts {
		var err error
		if addrs[i], err = c.addrArg(cmd, text); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

// exactAddr reads a whole address.
func exactAddr(cmd *cobra.Command, text string) (ibgib.Addr, error) {
	return readAddr(cmd, text, "address (ib^gib)")
}

// readAddr reads a whole address where there may be what is named.
func readAddr(cmd *cobra.Command, text, wanted string) (ibgib.Addr, error) {
	a, err := ibgib.ParseAddr(text)
	if err == nil {
		return a, nil
	}
	why := err.Error()
	if r, ok := errors.AsType[*ibgib.Refusal](err); ok {
		why = r.Detail
	}
	return a, usage(cmd, "%q is no %s: %s", text, wanted, why)
}

// linkArgs reads NAME=ADDR texts; addresses of one name form a list. It is nil
// for no texts.
func linkArgs(cmd *cobra.Command, flag string, texts []string) (ibgib.Rel8ns, error) {
	var rel8ns ibgib.Rel8ns
	for _, text := range texts {
		name, addr, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usage(cmd, "--%s wants NAME=ADDR, not %q", flag, text)
		}
		a, err := exactAddr(cmd, addr)
		if err != nil {
			return nil, err
		}
		rel8ns = rel8ns.With(name, append(rel8ns.Get(name), a))
	}
	return rel8ns, nil
}

// objectArg reads a JSON object: as it stands, from a file with @FILE, or from
// standard input with -. It is absent for no text.
func (c *cli) objectArg(ctx context.Context, cmd *cobra.Command, flag, text string) (ibgib.Value, error) {
	if text == "" {
		return ibgib.Value{}, nil
	}
	raw := []byte(text)
	if name, isFile := strings.CutPrefix(text, "@"); isFile || text == "-" {
		if name == "" {
			return ibgib.Value{}, usage(cmd, "--%s @ names no file", flag)
		}
		in, err := c.open(ctx, name)
		if err != nil {
			return ibgib.Value{}, err
		}
		defer in.Close()
		if raw, err = io.ReadAll(io.LimitReader(in, maxObject+1)); err != nil {
			return ibgib.Value{}, err
		}
		if len(raw) > maxObject {
			return ibgib.Value{}, usage(cmd, "--%s: %q is over the limit of %d bytes", flag, text, maxObject)
		}
	}
	v, err := ibgib.ParseValue(raw)
	if err != nil {
		why := err.Error()
		if r, ok := errors.AsType[*ibgib.Refusal](err); ok {
			why = string(r.Rule) + ": " + r.Detail
		}
		return v, usage(cmd, "--%s is no JSON that an ibGib may hold: %s", flag, why)
	}
	if v.Kind() != ibgib.KindObject {
		return v, usage(cmd, "--%s wants a JSON object, not %.40s", flag, v.Append(nil))
	}
	return v, nil
}

// maxObject bounds the JSON text of an object in bytes.
const maxObject = 6 * ibgib.MaxSize

// exists fails for a file that is not there, before work begins.
func exists(names []string) error {
	for _, name := range names {
		if name == "-" {
			continue
		}
		if _, err := os.Stat(name); err != nil {
			return err
		}
	}
	return nil
}
