package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/node/config"
)

func TestParse(t *testing.T) {
	no := false
	tests := []struct {
		name, text string
		want       config.Config
	}{
		{"empty", "", config.Config{}},
		{"comments", "# nothing\n\n  # at all\n", config.Config{}},
		{"sections without content", "log:\nlimits:\n", config.Config{}},
		{"all", `
listen:
  - /ip4/0.0.0.0/tcp/4200
  - /ip4/0.0.0.0/udp/4200/quic-v1
api: 127.0.0.1:4280
mesh: home
mesh-secret: secret
trust: lan
mdns: false
bootstrap: [/dnsaddr/boot.example.org/p2p/12D3KooWExample]
dht: server
public-dht: true
role: bootstrap
reachability: public
log: {format: json, level: debug}
sync: {every: 1m30s}
limits:
  connections: 100
  memory: 256MiB
  peer-disk: 2GiB
  upload: 1MB
  download: 65536
  peer-upload: 128 KiB
  peer-download: 1.5MiB
  limit-lan: true
`, config.Config{
			Listen: []string{"/ip4/0.0.0.0/tcp/4200", "/ip4/0.0.0.0/udp/4200/quic-v1"},
			API:    "127.0.0.1:4280", Mesh: "home", MeshSecret: "secret", Trust: "lan", MDNS: &no,
			Bootstrap: []string{"/dnsaddr/boot.example.org/p2p/12D3KooWExample"}, DHT: "server", PublicDHT: true, Role: "bootstrap", Reach: "public",
			Log:  config.Log{Format: "json", Level: "debug"},
			Sync: config.Sync{Every: config.Duration(90 * time.Second)},
			Limits: config.Limits{Connections: 100, Memory: 256 << 20, PeerDisk: 2 << 30, Upload: 1e6, Download: 1 << 16,
				PeerUpload: 128 << 10, PeerDownload: 3 << 19, LimitLAN: true},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.Parse([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"an unknown setting", "mesh: home\nlisten-on: x\n", `line 2: there is no setting "listen-on" here`},
		{"an unknown setting of a section", "log:\n  colour: red\n", `line 2: there is no setting "colour" here`},
		{"a setting twice", "mesh: a\nmesh: b\n", `line 2: "mesh" stands already in line 1`},
		{"another kind", "listen: {a: b}\n", "line 1: a value of another kind belongs here, not a map"},
		{"no YAML", "listen: [\n", "line 1: did not find expected node content"},
		{"a word", "mesh", "line 1: a value of another kind belongs here, not text"},
		{"two documents", "mesh: a\n---\nmesh: b\n", "more than one document"},
		{"trust", "trust: everyone", `trust: "everyone", must be manual or lan`},
		{"dht", "dht: some", `dht: "some", must be auto or client or server or off`},
		{"reachability", "reachability: perhaps", `reachability: "perhaps", must be public or private`},
		{"role", "role: king", `role: "king", must be bootstrap`},
		{"level", "log: {level: loud}", `log.level: "loud", must be debug or info or warn or error`},
		{"format", "log: {format: xml}", `log.format: "xml", must be text or json`},
		{"size", "limits: {memory: many}", `"many" is no size: write it like 64MiB`},
		{"negative size", "limits: {memory: -1}", `"-1" is no size: write it like 64MiB`},
		{"size of a list", "limits: {memory: [1]}", `line 1: "" is no size: write it like 64MiB`},
		{"little memory", "limits: {memory: 1MiB}", "limits.memory: 1.0 MiB, must be 32 MiB or more"},
		{"little disk", "limits: {peer-disk: 1MiB}", "limits.peer-disk: 1.0 MiB, must be 128 MiB or more"},
		{"slow", "limits: {peer-download: 1KB}", "limits.peer-download: 1000 B a second, must be 64 KiB or more"},
		{"few connections", "limits: {connections: 1}", "limits.connections: 1, must be from 8 to 65536"},
		{"negative connections", "limits: {connections: -8}", "limits.connections: -8, must be from 8 to 65536"},
		{"a duration without a unit", "sync: {every: 5}", `"5" is no duration: write it like 90s, 5m or 1h30m`},
		{"short", "sync: {every: 10ms}", "sync.every: 10ms, must be from 1s to 24h0m0s"},
		{"addresses", "listen: [" + strings.Repeat("a, ", 64) + "a]", "listen: 65 addresses, at most 64"},
		{"large", strings.Repeat("#", 1<<20+1), "larger than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Parse([]byte(tt.text))
			if err == nil {
				t.Fatalf("accepted as %+v", c)
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, tt.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if c, err := config.Load(path); err != nil || !reflect.DeepEqual(c, config.Config{}) {
		t.Errorf("a missing file: %+v, %v", c, err)
	}
	if err := os.WriteFile(path, []byte("mesh: 1\ntrust: all\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(path)
	var e *config.Error
	if !errors.As(err, &e) || e.File != path {
		t.Errorf("error %v, want one that names %s", err, path)
	}
	if _, err := config.Load(t.TempDir()); err == nil || errors.As(err, &e) && e.File != path {
		t.Errorf("a folder: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("listen: [a]\nlog: {level: debug}\nlimits: {memory: 64MiB}\n"))
	f.Add([]byte("a: &a [*a, *a]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse(text)
		if err != nil && !reflect.DeepEqual(c, config.Config{}) {
			t.Errorf("an error and %+v", c)
		}
	})
}
