package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is what a configuration file says. Zero values mean the default.
type Config struct {
	Listen     []string `yaml:"listen" json:"listen,omitempty"`             // multiaddrs
	API        string   `yaml:"api" json:"api,omitempty"`                   // unix:PATH or 127.0.0.1:PORT
	Mesh       string   `yaml:"mesh" json:"mesh,omitempty"`                 // name under which nodes look for each other
	MeshSecret string   `yaml:"mesh-secret" json:"mesh-secret,omitempty"`   // path of the file with the secret of a mesh
	Trust      string   `yaml:"trust" json:"trust,omitempty"`               // manual or lan
	MDNS       *bool    `yaml:"mdns" json:"mdns,omitempty"`                 // search the local network; nil: true
	Bootstrap  []string `yaml:"bootstrap" json:"bootstrap,omitempty"`       // multiaddrs of nodes by which the DHT is entered
	DHT        string   `yaml:"dht" json:"dht,omitempty"`                   // auto, client, server or off
	PublicDHT  bool     `yaml:"public-dht" json:"public-dht,omitempty"`     // that of IPFS
	Role       string   `yaml:"role" json:"role,omitempty"`                 // bootstrap
	Reach      string   `yaml:"reachability" json:"reachability,omitempty"` // public or private, where the owner knows
	Log        Log      `yaml:"log" json:"log,omitzero"`
	Sync       Sync     `yaml:"sync" json:"sync,omitzero"`
	Limits     Limits   `yaml:"limits" json:"limits,omitzero"`
}

// Log says what a node logs.
type Log struct {
	Format string `yaml:"format" json:"format,omitempty"` // text or json
	Level  string `yaml:"level" json:"level,omitempty"`   // debug, info, warn or error
}

// Sync says how a node keeps in step with others.
type Sync struct {
	Every    Duration `yaml:"every" json:"every,omitempty"`       // between two syncs with a connected peer in which nothing seems to change
	Strategy string   `yaml:"strategy" json:"strategy,omitempty"` // for timelines that have diverged: optimistic, manual or abort
}

// Limits bound what a node takes of the machine and of the network.
type Limits struct {
	Connections int  `yaml:"connections" json:"connections,omitempty"` // above it, connections of peers that are not trusted are closed
	Memory      Size `yaml:"memory" json:"memory,omitempty"`           // of libp2p's connections and streams
	PeerDisk    Size `yaml:"peer-disk" json:"peer-disk,omitempty"`     // of what one peer, or all fetches, have brought that no timeline has yet
	// Rates in bytes a second. Zero: none.
	Upload       Size `yaml:"upload" json:"upload,omitempty"`               // to all peers together
	Download     Size `yaml:"download" json:"download,omitempty"`           // from all peers together
	PeerUpload   Size `yaml:"peer-upload" json:"peer-upload,omitempty"`     // to each peer
	PeerDownload Size `yaml:"peer-download" json:"peer-download,omitempty"` // from each peer
	LimitLAN     bool `yaml:"limit-lan" json:"limit-lan,omitempty"`         // the rates hold for peers on the local network too
}

// What a file may say at most and at least.
const (
	maxFile        = 1 << 20
	maxListen      = 64
	maxBootstrap   = 64
	minConnections = 8
	maxConnections = 1 << 16
	minMemory      = 32 << 20
	minPeerDisk    = 128 << 20 // room for an ibGib of any size
	minRate        = 64 << 10  // protocol.MinThrottle
	minEvery       = time.Second
	maxEvery       = 24 * time.Hour
)

// Error is what is wrong with a file.
type Error struct {
	File string
	Text string // with line and column where there is one
}

func (e *Error) Error() string { return e.File + ": " + e.Text }

// Load reads a configuration file. One that is missing is the zero Config. What
// is wrong with its content is an *Error.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	c, err := Parse(text)
	if err != nil {
		return Config{}, &Error{path, err.Error()}
	}
	return c, nil
}

// Parse reads the text of a configuration file.
func Parse(text []byte) (Config, error) {
	var c Config
	if len(text) > maxFile {
		return c, fmt.Errorf("larger than %d bytes", maxFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, errors.New(plain(err))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("more than one document")
	}
	if err := c.check(); err != nil {
		return Config{}, err
	}
	return c, nil
}

var (
	unknownField = regexp.MustCompile(`field (\S+) not found in type \S+$`)
	wrongKind    = regexp.MustCompile(`cannot unmarshal (!!\S+)(?: ` + "`.*`" + `)? into .*$`)
	twice        = regexp.MustCompile(`mapping key (".*") already defined at line (\d+)$`)
)

var kinds = strings.NewReplacer("!!map", "a map", "!!seq", "a list", "!!str", "text", "!!int", "a number",
	"!!float", "a number", "!!bool", "true or false")

// plain returns the first message of an error of the parser in one line, as
// line N: what, without the names of Go types.
func plain(err error) string {
	text := err.Error()
	var e *yaml.TypeError
	if errors.As(err, &e) && len(e.Errors) > 0 {
		text = e.Errors[0]
	}
	text = strings.Join(strings.Fields(strings.TrimPrefix(text, "yaml: ")), " ")
	text = unknownField.ReplaceAllString(text, `there is no setting "$1" here`)
	text = twice.ReplaceAllString(text, "$1 stands already in line $2")
	text = wrongKind.ReplaceAllString(text, "a value of another kind belongs here, not $1")
	return kinds.Replace(text)
}

// check looks at what the parser cannot see. Whether an address is one that a
// node can use is for the node to say.
func (c Config) check() error {
	if len(c.Listen) > maxListen {
		return fmt.Errorf("listen: %d addresses, at most %d", len(c.Listen), maxListen)
	}
	if len(c.Bootstrap) > maxBootstrap {
		return fmt.Errorf("bootstrap: %d addresses, at most %d", len(c.Bootstrap), maxBootstrap)
	}
	for _, choice := range []struct {
		name, value string
		from        []string
	}{
		{"dht", c.DHT, []string{"auto", "client", "server", "off"}},
		{"role", c.Role, []string{"bootstrap"}},
		{"reachability", c.Reach, []string{"public", "private"}},
		{"trust", c.Trust, []string{"manual", "lan"}},
		{"sync.strategy", c.Sync.Strategy, []string{"optimistic", "manual", "abort"}},
		{"log.format", c.Log.Format, []string{"text", "json"}},
		{"log.level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
	} {
		if err := oneOf(choice.name, choice.value, choice.from); err != nil {
			return err
		}
	}
	if n := c.Limits.Connections; n != 0 && (n < minConnections || n > maxConnections) {
		return fmt.Errorf("limits.connections: %d, must be from %d to %d", n, minConnections, maxConnections)
	}
	if n := c.Limits.Memory; n != 0 && n < minMemory {
		return fmt.Errorf("limits.memory: %s, must be %s or more", n, Size(minMemory))
	}
	if n := c.Limits.PeerDisk; n != 0 && n < minPeerDisk {
		return fmt.Errorf("limits.peer-disk: %s, must be %s or more", n, Size(minPeerDisk))
	}
	for _, rate := range []struct {
		name  string
		value Size
	}{
		{"upload", c.Limits.Upload}, {"download", c.Limits.Download},
		{"peer-upload", c.Limits.PeerUpload}, {"peer-download", c.Limits.PeerDownload},
	} {
		if rate.value != 0 && rate.value < minRate {
			return fmt.Errorf("limits.%s: %s a second, must be %s or more", rate.name, rate.value, Size(minRate))
		}
	}
	if d := time.Duration(c.Sync.Every); d != 0 && (d < minEvery || d > maxEvery) {
		return fmt.Errorf("sync.every: %s, must be from %s to %s", d, minEvery, maxEvery)
	}
	return nil
}

func oneOf(name, value string, from []string) error {
	if value == "" {
		return nil
	}
	for _, v := range from {
		if v == value {
			return nil
		}
	}
	return fmt.Errorf("%s: %q, must be %s", name, value, strings.Join(from, " or "))
}
