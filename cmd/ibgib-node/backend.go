package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
	"github.com/ibgib/ibgib-node/node/config"
)

// access says what a command needs of the data directory.
type access uint8

const (
	accessExisting access = iota // it must be there
	accessCreate                 // it is created if there is none, but not among other files
	accessInit                   // it is created wherever that is
)

// withNode calls f with a client of the node that runs on the data directory.
// If none runs, it opens the directory itself for as long as f takes.
func (c *cli) withNode(ctx context.Context, need access, f func(*api.Client) error) (err error) {
	dir, err := dataDir(c.data)
	if err != nil {
		return err
	}
	if err := c.checkDir(dir, need); err != nil {
		return err
	}
	client, err := api.Dial(ctx, dir)
	if err == nil {
		defer client.Close()
		return f(client)
	}
	if !isCode(err, api.CodeNoDaemon) {
		return err
	}

	log := c.quietLog()
	node.RouteLibp2pLog(log.Handler())
	file, err := config.Load(node.FilesOf(dir).Config)
	if err != nil {
		return configError(err)
	}
	n, err := openNode(dir, node.Config{Log: log, Strategy: strategyOf(file), Passphrase: c.readPassphrase})
	if errors.Is(err, blockstore.ErrInUse) {
		// A node that had just been started may have come up by now.
		if client, dialErr := api.Dial(ctx, dir); dialErr == nil {
			defer client.Close()
			return f(client)
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	bar := c.newProgress()
	err = n.RetryMerges(ctx, func(done, all int) { bar.show(int64(done), int64(all), "merging what has diverged") })
	bar.clear()
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil { // it keeps nothing from the command, which may be to find out why
		log.Warn("diverged timelines not merged", "error", err)
	}
	client = api.InProcess(api.Handler(n, api.Options{Version: version()}))
	defer client.Close()
	return f(client)
}

// withDaemon calls f with a client of the node that runs on the data directory. It
// fails if none runs.
func (c *cli) withDaemon(ctx context.Context, f func(*api.Client) error) error {
	dir, err := dataDir(c.data)
	if err != nil {
		return err
	}
	if err := c.checkDir(dir, accessExisting); err != nil {
		return err
	}
	client, err := api.Dial(ctx, dir)
	if isCode(err, api.CodeNoDaemon) {
		return withHint(err, "this needs a node that runs:\nibgib-node run%s", c.dataFlag())
	}
	if err != nil {
		return err
	}
	defer client.Close()
	return f(client)
}

// checkDir says why a directory is not to be opened: it is not there, or holds
// something else. A mistyped --data must neither look like an empty node nor put
// one among the files of something else.
func (c *cli) checkDir(dir string, need access) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if need != accessExisting {
			return nil
		}
		return withHint(&statusError{exitNotFound, "there is no data directory " + dir},
			"ibgib-node init%s  creates one", c.dataFlag())
	case err != nil:
		return err
	case !info.IsDir():
		return &statusError{exitNotFound, dir + " is a file, no data directory"}
	case need == accessInit || node.IsDataDir(dir) || isVacant(dir):
		return nil
	}
	return withHint(&statusError{exitNotFound, dir + " holds other files, and no node"},
		"name another directory with --data; ibgib-node init%s  puts a node there all the same", c.dataFlag())
}

// openNode opens a data directory, and says what to do if that fails.
func openNode(dir string, cfg node.Config) (*node.Node, error) {
	cfg.Data = dir
	n, err := node.Open(cfg)
	switch {
	case errors.Is(err, blockstore.ErrInUse):
		return nil, withHint(err, "wait for the other command to end; a node started with ibgib-node run\nserves all commands at the same time")
	case errors.Is(err, blockstore.ErrNewer):
		return nil, withHint(err, "use the version of ibgib-node that wrote it, or a later one")
	}
	return n, err
}

// quietLog is the log of commands that end by themselves: what goes wrong
// shows in their error, so only what nothing returns is worth a line.
func (c *cli) quietLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelError}))
}

// dataFlag returns --data as this command was given it, for a command line that
// a person can copy; empty if it was not given.
func (c *cli) dataFlag() string {
	if c.data == "" {
		return ""
	}
	return " --data " + shellQuote(printable(c.data))
}

// shellQuote returns a word as a shell reads it.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,=", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func isCode(err error, code api.Code) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && e.Code == code
}
