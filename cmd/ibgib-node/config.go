package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
	"github.com/ibgib/ibgib-node/node/config"
)

func configCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print which directory and files are in effect, and check the configuration",
		Long: `Prints the data directory, what chose it, whether a node runs on it, and the files
in it. Nothing is created.

config.yaml in the data directory is the configuration file; it need not be
there. It is checked, and what is wrong with it ends this command as it would end
run. This one has every setting; the values are examples:

  listen:                          # as --listen
    - /ip4/0.0.0.0/tcp/4200
    - /ip4/0.0.0.0/udp/4200/quic-v1
  api: 127.0.0.1:4280              # as --api
  mesh: home                       # as --mesh
  mesh-secret: secret              # as --mesh-secret; seen from the data directory
  trust: lan                       # as --trust
  mdns: true                       # false is --no-mdns
  bootstrap:                       # as --bootstrap
    - /dnsaddr/boot.example.org/p2p/12D3KooWExample
  dht: auto                        # as --dht
  public-dht: false                # as --public-dht
  role: bootstrap                  # as --role
  reachability: public             # or private: whether others can connect, where you know;
                                   # else it is found out
  log: {format: text, level: info} # as --log-format and --log-level *
  sync:
    every: 5m                      # between two syncs in which nothing seems to change
    strategy: optimistic           # what becomes of diverged timelines: they are merged;
                                   # manual: left to a person; abort: stay as they are.
                                   # The last two also take back merges shown so far that
                                   # nobody has built on, until it is optimistic again
  limits:
    connections: 192               # above it, those of strangers are closed
    memory: 128MiB                 # for connections and streams
    peer-disk: 1GiB                # for what one peer has sent that no timeline has yet, or all that were fetched from
    upload: 1MiB                   # bytes a second to all peers together *
    download: 4MiB                 # from all peers together *
    peer-upload: 512KiB            # to each peer *
    peer-download: 2MiB            # from each peer *
    limit-lan: false               # true: the local network is slowed down too *

Without limits.upload and its neighbours nothing is slowed down. On SIGHUP (kill -HUP,
systemctl reload) a running node reads the file again and applies what has a *,
of log the level; for the rest its log names what needs a restart.`,
		Example: `  ibgib-node config
  ibgib-node config --data /srv/ibgib --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.config(cmd.Context()) },
	}
}

type configResult struct {
	Data     string     `json:"data"`
	ChosenBy string     `json:"chosenBy"` // --data, the name of the variable, or platform
	Exists   bool       `json:"exists"`   // with a node's data or settings in it
	Running  bool       `json:"running"`  // a node runs on it and answers
	Files    node.Files `json:"files"`
	// Settings are what config.yaml says, as there; absent if there is none.
	Settings *config.Config `json:"settings,omitempty"`
}

func (c *cli) config(ctx context.Context) error {
	dir, err := dataDir(c.data)
	if err != nil {
		return err
	}
	result := configResult{Data: dir, ChosenBy: "platform", Files: node.FilesOf(dir)}
	switch {
	case c.data != "":
		result.ChosenBy = "--data"
	case os.Getenv(dataEnv) != "":
		result.ChosenBy = dataEnv
	}
	if err := c.checkDir(dir, accessInit); err != nil {
		return err
	}
	settings, err := config.Load(result.Files.Config)
	if err != nil {
		return configError(err)
	}
	if _, err := os.Stat(result.Files.Config); err == nil {
		result.Settings = &settings
	}
	if result.Exists = node.IsDataDir(dir); result.Exists {
		client, err := api.Dial(ctx, dir)
		switch {
		case err == nil:
			result.Running = true
			client.Close()
		case !isCode(err, api.CodeNoDaemon):
			return err
		}
	}
	return c.print(result, func(w io.Writer) {
		state := "not there yet"
		switch {
		case result.Running:
			state = "a node runs on it"
		case result.Exists:
			state = "no node runs on it"
		}
		t := newTable(w)
		t.row("data", printable(result.Data))
		t.row("chosen by", result.ChosenBy)
		t.row("state", state)
		for _, f := range [][2]string{
			{"store", result.Files.Store}, {"peer key", result.Files.PeerKey}, {"trust list", result.Files.Trust},
			{"listened at", result.Files.Listen}, {"contacts", result.Files.Contacts}, {"configuration", result.Files.Config},
			{"API socket", result.Files.APISocket}, {"API token", result.Files.APIToken},
		} {
			t.row(f[0], printable(f[1]))
		}
		if result.Settings == nil {
			t.row("", "(there is none: the flags of run and the defaults count)")
		}
		t.end()
	})
}
