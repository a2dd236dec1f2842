package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

func runCommand(c *cli) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the node until it is stopped",
		Long: `Runs the node: it listens for others, serves syncs with those it trusts, and
serves the other commands by its control API, which describes itself at
/api/v1/openapi.yaml. When it is ready it prints one line to standard output, the
word ready, its peer id and its addresses; its log goes to standard error. Ctrl-C
or SIGTERM stops it in good order.

With nodes that it trusts, and that trust it, it keeps in step as long as they are
connected: what changes on one appears on the others at once. --no-live leaves
that to the command sync.

The data directory is created if there is none. Without --listen the node
listens with TCP and QUIC on all interfaces, at the ports of its last run where
they are free. Addresses that end in /tcp/PORT/ws, /udp/PORT/quic-v1/webtransport or
/udp/PORT/webrtc-direct let browsers connect.

Nodes find each other on the local network (mDNS) and connect, those with the
same --mesh-secret or, without one, the same --mesh. Whom a node trusts is
another question: with --trust manual the peers that the command trust was given,
with --trust lan also those on the local network that know the same mesh secret,
which is the default where there is a secret.
The command mesh-secret makes one.

Beyond the local network nodes find each other in a DHT, which --bootstrap lets a
node enter by the address of one that is in it, and later by those that it met
there. In it those of one mesh find each other; whom a node trusts stays what --trust
says. ibgib-node provide announces a timeline there, ibgib-node find finds who has
one. Where others cannot connect to the node it asks its router for a port (UPnP),
lets a bootstrap node relay, and tries to get through to the other side directly. A
node with --role bootstrap does that for others; it has to be reachable, at a fixed
port.

The file config.yaml in the data directory says the same as the flags, and more;
where both say something the flag counts. On SIGHUP the node reads it again.`,
		Example: `  ibgib-node run
  ibgib-node run --mesh-secret secret --trust lan
  ibgib-node run --mesh home --trust manual
  ibgib-node run --bootstrap /ip4/192.0.2.7/tcp/4200/p2p/12D3KooWExample
  ibgib-node run --role bootstrap --listen /ip4/0.0.0.0/tcp/4200 --listen /ip4/0.0.0.0/udp/4200/quic-v1
  ibgib-node run --listen /ip4/127.0.0.1/tcp/4200 --listen /ip4/127.0.0.1/udp/4200/quic-v1
  ibgib-node run --api 127.0.0.1:4280 --log-format json --log-level debug`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := dataDir(c.data)
			if err != nil {
				return err
			}
			s, err := readSettings(cmd, o, dir)
			if err != nil {
				return err
			}
			return c.runNode(cmd.Context(), s)
		},
	}
	o.define(cmd.Flags())
	return cmd
}

// readyLine is what run prints with --json when it is ready.
type readyLine struct {
	Ready bool `json:"ready"`
	node.Identity
	API  string `json:"api"`
	Data string `json:"data"`
}

// apiGrace is how long requests that are under way may go on after the node
// was told to stop.
const apiGrace = 3 * time.Second

func (c *cli) runNode(ctx context.Context, s settings) (err error) {
	if err := c.checkDir(s.dir, accessCreate); err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	level := new(slog.LevelVar)
	level.Set(s.level)
	log := c.newLog(s.logFormat, level)
	node.RouteLibp2pLog(log.Handler())
	cfg := s.node
	cfg.Log, cfg.Passphrase = log, c.readPassphrase
	n, err := openNode(s.dir, cfg)
	if errors.Is(err, blockstore.ErrInUse) {
		if client, dialErr := api.Dial(ctx, s.dir); dialErr == nil {
			client.Close()
			return withHint(&statusError{exitInUse, "a node runs already on " + s.dir},
				"its peer id and addresses: ibgib-node id%s\na second node needs a directory of its own: ibgib-node run --data DIR", c.dataFlag())
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := c.unlock(n, log); err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	server, err := api.Serve(n, api.Options{Addr: s.api, Version: version(), Log: log})
	if err != nil {
		return err
	}
	defer func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiGrace)
		defer cancel()
		err = errors.Join(err, server.Close(grace))
	}()

	id := n.Identity()
	slices.Sort(id.Addrs)
	if err := c.printReady(readyLine{true, id, server.Addr(), s.dir}); err != nil {
		return err
	}
	for {
		select {
		case <-hangup:
			s = s.reload(n, level, log)
		case <-ctx.Done():
			log.Info("stopping")
			return nil
		}
	}
}

func (c *cli) newLog(format string, level *slog.LevelVar) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(c.err, options))
	}
	return slog.New(slog.NewTextHandler(c.err, options))
}

func (c *cli) printReady(r readyLine) error {
	line := []byte(strings.Join(append([]string{"ready", r.PeerID}, r.Addrs...), " ") + "\n")
	if c.json {
		var err error
		if line, err = toJSON(r); err != nil {
			return err
		}
	}
	if _, err := c.out.Write(line); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}
