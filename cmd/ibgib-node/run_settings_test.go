package main

import (
	"bufio"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/config"
	"github.com/ibgib/ibgib-node/protocol"
)

// settingsOf returns the settings of run with some flags and a configuration file.
func settingsOf(t *testing.T, file string, flags ...string) (settings, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := runCommand(&cli{data: dir})
	var o runOptions
	var s settings
	cmd.ResetFlags()
	o.define(cmd.Flags())
	if err := cmd.ParseFlags(flags); err != nil {
		t.Fatal(err)
	}
	s, err := readSettings(cmd, o, dir)
	s.read = nil
	return s, err
}

func TestSettings(t *testing.T) {
	const file = `
listen: [/ip4/127.0.0.1/tcp/1]
api: 127.0.0.1:1
mesh: home
mesh-secret: secret
trust: manual
mdns: false
bootstrap: [/ip4/127.0.0.1/tcp/9/p2p/12D3KooWDUbgj5n8GTB9wFEnmY3MwuWvqc9vKuuEJfB5LM8aQiz4]
dht: client
public-dht: true
role: bootstrap
reachability: private
log: {format: json, level: debug}
sync: {every: 7s}
limits: {connections: 9, memory: 64MiB, peer-disk: 128MiB, upload: 1MiB, download: 2MiB, peer-upload: 3MiB, peer-download: 4MiB, limit-lan: true}
`
	defaults := settings{logFormat: "text", node: node.Config{Mesh: node.Mesh{MDNS: true}}}
	inFile := settings{
		api: "127.0.0.1:1", logFormat: "json", level: slog.LevelDebug,
		node: node.Config{
			Listen: []string{"/ip4/127.0.0.1/tcp/1"},
			Mesh:   node.Mesh{Name: "home", Secret: []byte("0123456789abcdef"), Trust: node.TrustManual},
			Reach: node.Reach{Role: node.RoleBootstrap, DHT: dht.ModeClient, PublicDHT: true, Known: node.ReachPrivate,
				Bootstrap: []string{"/ip4/127.0.0.1/tcp/9/p2p/12D3KooWDUbgj5n8GTB9wFEnmY3MwuWvqc9vKuuEJfB5LM8aQiz4"}},
			Live: node.Live{Every: 7 * time.Second},
			Limits: node.Limits{Connections: 9, Memory: 64 << 20, PeerDisk: 128 << 20, LimitLAN: true,
				Rates: protocol.Rates{Upload: 1 << 20, Download: 2 << 20, PeerUpload: 3 << 20, PeerDownload: 4 << 20}},
		},
	}
	above := inFile
	above.api, above.logFormat, above.level = "127.0.0.1:2", "text", slog.LevelWarn
	above.node.Listen = []string{"/ip4/127.0.0.1/tcp/2", "/ip4/127.0.0.1/tcp/3"}
	above.node.Mesh.Name, above.node.Mesh.Trust, above.node.Mesh.MDNS = "work", node.TrustLAN, true
	above.node.Live.Off = true
	above.node.Reach = node.Reach{DHT: dht.ModeServer, Known: node.ReachPrivate, Bootstrap: []string{"/ip4/127.0.0.1/tcp/8/p2p/12D3KooWDUbgj5n8GTB9wFEnmY3MwuWvqc9vKuuEJfB5LM8aQiz4"}}
	tests := []struct {
		name, file string
		flags      []string
		want       settings
	}{
		{"nothing", "", nil, defaults},
		{"the file", file, nil, inFile},
		{"flags above the file", file, []string{
			"--listen=/ip4/127.0.0.1/tcp/2", "--listen=/ip4/127.0.0.1/tcp/3", "--api=127.0.0.1:2", "--mesh=work",
			"--bootstrap=/ip4/127.0.0.1/tcp/8/p2p/12D3KooWDUbgj5n8GTB9wFEnmY3MwuWvqc9vKuuEJfB5LM8aQiz4",
			"--dht=server", "--public-dht=false", "--role=",
			"--trust=lan", "--no-mdns=false", "--no-live", "--log-format=text", "--log-level=warn",
		}, above},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := settingsOf(t, tt.file, tt.flags...)
			if err != nil {
				t.Fatal(err)
			}
			got.dir = ""
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// The help of config shows a file with every setting there is.
func TestConfigHelpIsWhole(t *testing.T) {
	var example strings.Builder
	for line := range strings.Lines(configCommand(&cli{}).Long) {
		if rest, ok := strings.CutPrefix(line, "  "); ok {
			example.WriteString(rest)
		}
	}
	got, err := config.Parse([]byte(example.String()))
	if err != nil {
		t.Fatal(err)
	}
	var unset func(prefix string, v reflect.Value) []string
	unset = func(prefix string, v reflect.Value) (names []string) {
		for i := range v.NumField() {
			name, f := prefix+v.Type().Field(i).Name, v.Field(i)
			switch {
			case f.Kind() == reflect.Struct:
				names = append(names, unset(name+".", f)...)
			case f.IsZero():
				names = append(names, name)
			}
		}
		return names
	}
	// It shows the default of these, false.
	if names := unset("", reflect.ValueOf(got)); !slices.Equal(names, []string{"PublicDHT", "Limits.LimitLAN"}) {
		t.Errorf("not in the example: %v", names)
	}
}

// A running node applies what can be applied, names the rest, and keeps what it
// has if the file is wrong.
func TestReload(t *testing.T) {
	program, err := exec.LookPath("ibgib-node") // testscript has put the program into PATH
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("mdns: false\nlisten: [/ip4/127.0.0.1/tcp/0]\n")
	cmd := exec.CommandContext(t.Context(), program, "run", "--data", dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	logged, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready ") {
		t.Fatalf("%q, %v", line, err)
	}
	log := bufio.NewScanner(logged)
	next := func(want string) {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for log.Scan() {
			if strings.Contains(log.Text(), "onfiguration") {
				if !strings.Contains(log.Text(), want) {
					t.Errorf("log %q, want %q in it", log.Text(), want)
				}
				return
			}
		}
		t.Fatalf("the log ends without %q: %v", want, log.Err())
	}
	next(`msg="configuration read again"`)
	write("mdns: false\nlisten: [/ip4/127.0.0.1/tcp/0]\nlimits: {upload: 1MiB}\nlog: {level: debug}\n")
	next(`msg="configuration read again"`)
	write("mdns: true\nlisten: [/ip4/127.0.0.1/tcp/0]\nsync: {every: 9s}\n")
	next(`settings="mdns, sync.every"`)
	write("limits: {upload: fast}\n")
	next(`line 1: \"fast\" is no size`)
	write("mdns: false\nlisten: [/ip4/127.0.0.1/tcp/0]\nlog: {level: error}\nlimits: {upload: fast}\n")
	next("what was in effect stays")

	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// The example for a server is one that a node can run with.
func TestServerConfigIsRight(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "scripts", "server", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := settingsOf(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.node
	cfg.Data = t.TempDir()
	n, err := node.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if cfg.Reach.Role != node.RoleBootstrap || len(cfg.Listen) == 0 {
		t.Errorf("settings: %+v", cfg)
	}
}
