package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/config"
	"github.com/ibgib/ibgib-node/protocol"
	"github.com/ibgib/ibgib-node/saga"
)

// runOptions are the flags of run.
type runOptions struct {
	listen              []string
	api                 string
	noLive              bool
	mesh, meshSecret    string // a name, a path
	trust               string
	noMDNS              bool
	bootstrap           []string
	role, dht           string
	publicDHT           bool
	logFormat, logLevel string
}

func (o *runOptions) define(f *pflag.FlagSet) {
	f.StringArrayVar(&o.listen, "listen", nil, "where to listen, a `MULTIADDR` (repeatable)")
	f.StringVar(&o.api, "api", "", "where the control API listens: unix:PATH or 127.0.0.1:PORT, an `ADDR` (default: a socket in the data directory)")
	f.BoolVar(&o.noLive, "no-live", false, "sync only when told to, not by itself when something changes")
	f.StringVar(&o.mesh, "mesh", "", "`NAME` under which nodes without a mesh secret find each other (default: ibgib)")
	f.StringVar(&o.meshSecret, "mesh-secret", "", "`FILE` with the secret that all nodes of the mesh have")
	f.StringVar(&o.trust, "trust", "", "whom to trust, a `MODE`: manual, or lan: nodes on the local network that have the mesh secret, too (default: lan with a mesh secret, else manual)")
	f.BoolVar(&o.noMDNS, "no-mdns", false, "neither search the local network for nodes nor be found there")
	f.StringArrayVar(&o.bootstrap, "bootstrap", nil, "a node by which to enter the DHT, a `MULTIADDR` with its peer id (repeatable)")
	f.StringVar(&o.dht, "dht", "", "part in the DHT, a `MODE`: auto, client, server or off (default: auto with --bootstrap, else off)")
	f.BoolVar(&o.publicDHT, "public-dht", false, "take part in the public DHT of IPFS, not in one of ibGib nodes")
	f.StringVar(&o.role, "role", "", "bootstrap: let others enter the DHT by this node, relay for them and tell them whether they can be reached, a `ROLE`")
	f.StringVar(&o.logFormat, "log-format", "text", "`FORMAT` of the log: text or json")
	f.StringVar(&o.logLevel, "log-level", "info", "least `LEVEL` of the log: debug, info, warn or error")
}

// settings are what run runs with: its flags, the configuration file where a flag
// says nothing, and defaults.
type settings struct {
	dir       string
	node      node.Config
	api       string
	logFormat string
	level     slog.Level

	read func() (settings, error) // reads the file again
}

// readSettings reads the configuration file in the data directory dir and puts
// the flags above it.
func readSettings(cmd *cobra.Command, o runOptions, dir string) (settings, error) {
	file, err := config.Load(node.FilesOf(dir).Config)
	if err != nil {
		return settings{}, configError(err)
	}
	s := settings{dir: dir, read: func() (settings, error) { return readSettings(cmd, o, dir) }}

	// pick returns the flag's value if it was given, else the file's, else the
	// flag's default.
	pick := func(flag, value, inFile string) string {
		if cmd.Flags().Changed(flag) || inFile == "" {
			return value
		}
		return inFile
	}
	s.node.Listen = o.listen
	if len(o.listen) == 0 {
		s.node.Listen = file.Listen
	}
	s.api = pick("api", o.api, file.API)
	s.node.Live = node.Live{Off: o.noLive, Every: time.Duration(file.Sync.Every)}
	s.node.Strategy = strategyOf(file)

	s.logFormat = pick("log-format", o.logFormat, file.Log.Format)
	if s.logFormat != "text" && s.logFormat != "json" {
		return s, usage(cmd, "--log-format is text or json, not %q", s.logFormat)
	}
	level := pick("log-level", o.logLevel, file.Log.Level)
	if err := s.level.UnmarshalText([]byte(level)); err != nil {
		return s, usage(cmd, "--log-level is debug, info, warn or error, not %q", level)
	}

	s.node.Mesh = node.Mesh{
		Name:  pick("mesh", o.mesh, file.Mesh),
		Trust: node.TrustMode(pick("trust", o.trust, file.Trust)),
		MDNS:  !o.noMDNS && (cmd.Flags().Changed("no-mdns") || file.MDNS == nil || *file.MDNS),
	}
	s.node.Reach = node.Reach{
		Role: node.Role(pick("role", o.role, file.Role)), Bootstrap: o.bootstrap,
		DHT:       dht.Mode(pick("dht", o.dht, file.DHT)),
		Known:     file.Reach,
		PublicDHT: o.publicDHT || file.PublicDHT && !cmd.Flags().Changed("public-dht"),
	}
	if len(o.bootstrap) == 0 {
		s.node.Reach.Bootstrap = file.Bootstrap
	}
	secret := o.meshSecret
	if secret == "" && file.MeshSecret != "" {
		// As in the file, a path is as seen from there.
		if secret = file.MeshSecret; !filepath.IsAbs(secret) {
			secret = filepath.Join(dir, secret)
		}
	}
	if s.node.Mesh.Secret, err = readMeshSecret(secret); err != nil {
		return s, err
	}
	l := file.Limits
	s.node.Limits = node.Limits{
		Connections: l.Connections, Memory: int64(l.Memory), PeerDisk: int64(l.PeerDisk), LimitLAN: l.LimitLAN,
		Rates: protocol.Rates{
			Upload: int(l.Upload), Download: int(l.Download),
			PeerUpload: int(l.PeerUpload), PeerDownload: int(l.PeerDownload),
		},
	}
	return s, nil
}

// strategyOf returns what a configuration file, which has been checked, says of
// timelines that have diverged.
func strategyOf(file config.Config) (s saga.Strategy) {
	_ = s.UnmarshalText([]byte(file.Sync.Strategy)) // where it says nothing, the zero value
	return s
}

// configError makes the error of a configuration file one of what was typed.
func configError(err error) error {
	if e, ok := errors.AsType[*config.Error](err); ok {
		return withHint(&statusError{exitUsage, e.Error()}, "ibgib-node config  shows what the file says")
	}
	return err
}

// readMeshSecret reads the file of a mesh secret; without a path there is none.
func readMeshSecret(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	secret, err := node.ReadMeshSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = withHint(&statusError{exitNotFound, "there is no mesh secret " + printable(path)},
			"ibgib-node mesh-secret %s  makes one; all nodes of the mesh need the same", shellQuote(printable(path)))
	}
	return secret, err
}

// reload reads the configuration file again, applies what can be applied to a
// running node, and says what cannot. A file with a mistake changes nothing.
func (s settings) reload(n *node.Node, level *slog.LevelVar, log *slog.Logger) settings {
	next, err := s.read()
	if err == nil {
		err = n.SetRates(next.node.Limits.Rates, next.node.Limits.LimitLAN)
	}
	if err != nil {
		log.Error("configuration not read again; what was in effect stays", "error", err)
		return s
	}
	level.Set(next.level)
	s.level = next.level
	s.node.Limits.Rates, s.node.Limits.LimitLAN = next.node.Limits.Rates, next.node.Limits.LimitLAN
	if waiting := s.needRestart(next); len(waiting) > 0 {
		log.Warn("configuration read again; some settings count from the next start on", "settings", strings.Join(waiting, ", "))
	} else {
		log.Info("configuration read again")
	}
	return s
}

// needRestart names the settings that differ from those in effect.
func (s settings) needRestart(next settings) []string {
	var names []string
	for _, x := range []struct {
		name      string
		now, then any
	}{
		{"listen", s.node.Listen, next.node.Listen},
		{"api", s.api, next.api},
		{"mesh", s.node.Mesh.Name, next.node.Mesh.Name},
		{"mesh-secret", s.node.Mesh.Secret, next.node.Mesh.Secret},
		{"trust", s.node.Mesh.Trust, next.node.Mesh.Trust},
		{"mdns", s.node.Mesh.MDNS, next.node.Mesh.MDNS},
		{"bootstrap", s.node.Reach.Bootstrap, next.node.Reach.Bootstrap},
		{"role", s.node.Reach.Role, next.node.Reach.Role},
		{"dht", s.node.Reach.DHT, next.node.Reach.DHT},
		{"reachability", s.node.Reach.Known, next.node.Reach.Known},
		{"public-dht", s.node.Reach.PublicDHT, next.node.Reach.PublicDHT},
		{"log.format", s.logFormat, next.logFormat},
		{"sync.strategy", s.node.Strategy, next.node.Strategy},
		{"sync.every", s.node.Live.Every, next.node.Live.Every},
		{"limits.connections", s.node.Limits.Connections, next.node.Limits.Connections},
		{"limits.memory", s.node.Limits.Memory, next.node.Limits.Memory},
		{"limits.peer-disk", s.node.Limits.PeerDisk, next.node.Limits.PeerDisk},
	} {
		if fmt.Sprint(x.now) != fmt.Sprint(x.then) {
			names = append(names, x.name)
		}
	}
	return names
}
