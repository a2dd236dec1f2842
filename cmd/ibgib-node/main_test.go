package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
)

func TestMain(m *testing.M) {
	// With the race detector a process would sleep a second at its end, and the
	// scripts run hundreds of them.
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=10")
	}
	testscript.Main(m, map[string]func(){"ibgib-node": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, scriptParams(filepath.Join("testdata", "script")))
}

// scriptParams describe the scripts. Beside the commands of testscript they have:
//
//	exits CODE PROGRAM ARGS...       run a program, which must end with that code
//	start NAME ARGS...               ibgib-node run ARGS with the data directory NAME,
//	                                 until it is ready; its line is in NAME.ready, its
//	                                 peer id and first address in NAME_PEER and NAME_ADDR.
//	                                 With ALONE set it sees no network but a loopback
//	                                 interface of its own
//	awaits PROGRAM ARGS...           run a program until it succeeds, for a minute at most
//	halt NAME                        interrupt it; it must end with code 0; its log is in
//	                                 NAME.log
//	conceals DIR FILE...             no secret of a keystone of the data directory is in
//	                                 a file
//	hold NAME, release NAME          have the data directory NAME open
//	damage DIR ADDR                  change a byte of an ibGib that the data directory has
//	json FILE PATH WANT              compare a part of a JSON text; PATH is like 0.heads.len
//	capture VAR FILE [PATH]          keep a text, or a part of a JSON text, in a variable
//	capture-field VAR FILE LINE N    keep a word of a line in a variable, both from 0
//	safe FILE                        nothing in the text needs care on a terminal
//	unread PROGRAM ARGS...           run a program with an output that is closed; code 141
//	interrupt-reading PROGRAM ARGS   interrupt a program that reads standard input; code 130
//	follow NAME PROGRAM ARGS...      run a program that does not end by itself
//	sees NAME REGEXP                 it prints a line like that, now or soon
//	leave NAME [CODE]                interrupt it, and expect code 130; or, with CODE, wait
//	                                 for its end
//	interrupt-dialing DIR PEER       interrupt a sync with a peer that does not answer; code 130
//
// FILE may be stdout or stderr. The condition alone tells whether ALONE works here.
func scriptParams(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "home", "xdg"))
			env.Values[daemonsKey{}] = make(daemons)
			env.Values[followersKey{}] = make(map[string]*followed)
			return os.CopyFS(filepath.Join(env.WorkDir, "spaces"), os.DirFS(filepath.Join("..", "..", "timeline", "testdata", "spaces")))
		},
		Condition: func(name string) (bool, error) {
			if name != "alone" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			err := exec.Command(alone[0], append(slices.Clone(alone[1:]), "true")...).Run()
			if err != nil && os.Getenv("IBGIB_NODE_NETNS") == "required" {
				return false, err
			}
			return err == nil, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":             cmdExits,
			"start":             cmdStart,
			"halt":              cmdHalt,
			"conceals":          cmdConceals,
			"hold":              cmdHold,
			"release":           cmdRelease,
			"damage":            cmdDamage,
			"json":              cmdJSON,
			"capture":           cmdCapture,
			"capture-field":     cmdCaptureField,
			"safe":              cmdSafe,
			"unread":            cmdUnread,
			"interrupt-reading": cmdInterruptReading,
			"interrupt-dialing": cmdInterruptDialing,
			"follow":            cmdFollow,
			"sees":              cmdSees,
			"leave":             cmdLeave,
			"awaits":            cmdAwaits,
		},
	}
}

func wantArgs(ts *testscript.TestScript, neg bool, args []string, least int, form string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", form)
	}
}

// codeOf returns the exit code in what running a program returned.
func codeOf(err error) (exitCode, error) {
	if err == nil {
		return exitOK, nil
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitCode(e.ExitCode()), nil
	}
	return 0, err
}

func checkCode(ts *testscript.TestScript, err error, want exitCode) {
	got, err := codeOf(err)
	ts.Check(err)
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "exits CODE PROGRAM ARGS...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	checkCode(ts, ts.Exec(args[1], args[2:]...), exitCode(want))
}

// command prepares a program in the environment of the script.
func command(ts *testscript.TestScript, name string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(name) // testscript has put the program into PATH
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"HOME", "XDG_DATA_HOME", "PATH", "TMPDIR", "GORACE", "GOCOVERDIR", dataEnv, "SystemRoot", "CREDENTIALS_DIRECTORY"} {
		if value := ts.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	return cmd
}

// alone begins a command line that runs in a network namespace of its own.
var alone = []string{"unshare", "--net", "sh", "-c", `ip link set lo up && exec "$0" "$@"`}

type daemonsKey struct{}

// daemons are what start has started and hold holds, by name.
type daemons map[string]*daemon

type daemon struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
	held   *node.Node
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "start NAME ARGS...")
	name := args[0]
	d := &daemon{}
	line := append([]string{"ibgib-node", "run", "--data", name}, args[1:]...)
	if ts.Getenv("ALONE") != "" {
		line = append(slices.Clone(alone), line...)
	}
	d.cmd = command(ts, line[0], line[1:]...)
	out, err := d.cmd.StdoutPipe()
	ts.Check(err)
	d.stdout = bufio.NewReader(out)
	d.cmd.Stderr = &d.stderr
	ts.Check(d.cmd.Start())
	ts.Value(daemonsKey{}).(daemons)[name] = d
	ts.Defer(func() {
		if d.cmd.ProcessState == nil {
			d.cmd.Process.Kill()
			d.cmd.Wait()
			ts.Logf("log of %s:\n%s", name, d.stderr.String())
		}
	})

	said, err := d.stdout.ReadString('\n')
	if err != nil {
		d.cmd.Wait()
		ts.Fatalf("%s did not get ready: %v\n%s", name, err, d.stderr.String())
	}
	ready := readyLine{}
	if fields := strings.Fields(said); fields[0] == "ready" {
		ready.PeerID, ready.Addrs = fields[1], fields[2:]
	} else {
		ts.Check(json.Unmarshal([]byte(said), &ready))
	}
	ts.Check(os.WriteFile(ts.MkAbs(name+".ready"), []byte(said), 0o600))
	ts.Setenv(name+"_PEER", ready.PeerID)
	ts.Setenv(name+"_ADDR", ready.Addrs[0])
}

// cmdAwaits runs a command again and again until it succeeds, as what it is about comes
// about by itself.
func cmdAwaits(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "awaits COMMAND ARGS...")
	look, limit := time.NewTicker(100*time.Millisecond), time.After(time.Minute)
	defer look.Stop()
	for {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		select {
		case <-look.C:
		case <-limit:
			ts.Fatalf("not within a minute: %s: %v", strings.Join(args, " "), err)
		}
	}
}

func cmdHalt(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "halt NAME")
	d := ts.Value(daemonsKey{}).(daemons)[args[0]]
	ts.Check(d.cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(d.stdout)
	ts.Check(err)
	err = d.cmd.Wait()
	ts.Logf("log of %s:\n%s", args[0], d.stderr.String())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".log"), d.stderr.Bytes(), 0o600))
	checkCode(ts, err, exitOK)
	if len(rest) > 0 {
		ts.Fatalf("%s printed more than one line: %s", args[0], rest)
	}
}

func cmdConceals(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "conceals DIR FILE...")
	secrets, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "keystones", "*.secret"))
	ts.Check(err)
	if len(secrets) == 0 {
		ts.Fatalf("%s has no secret", args[0])
	}
	for _, path := range secrets {
		digits, err := os.ReadFile(path)
		ts.Check(err)
		digits = bytes.TrimSpace(digits)
		raw, err := hex.DecodeString(string(digits))
		ts.Check(err)
		for _, name := range args[1:] {
			text, err := os.ReadFile(ts.MkAbs(name))
			ts.Check(err)
			if len(text) == 0 {
				ts.Fatalf("%s is empty", name)
			}
			for _, form := range [][]byte{digits, raw, []byte(base64.StdEncoding.EncodeToString(raw)), []byte(base64.RawURLEncoding.EncodeToString(raw))} {
				if bytes.Contains(bytes.ToLower(text), bytes.ToLower(form)) {
					ts.Fatalf("%s shows the secret", name)
				}
			}
		}
	}
}

func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "hold NAME")
	n, err := node.Open(node.Config{Data: ts.MkAbs(args[0])})
	ts.Check(err)
	ts.Value(daemonsKey{}).(daemons)[args[0]] = &daemon{held: n}
	ts.Defer(func() { n.Close() })
}

func cmdRelease(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "release NAME")
	ts.Check(ts.Value(daemonsKey{}).(daemons)[args[0]].held.Close())
}

func cmdDamage(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "damage DIR ADDR")
	addr, err := ibgib.ParseAddr(args[1])
	ts.Check(err)
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(ts.MkAbs(args[0]), "store")).WithLogger(nil))
	ts.Check(err)
	found := 0
	ts.Check(db.Update(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte("b"), PrefetchValues: true}) // as blockstore/FORMAT.md has it
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if !bytes.Contains(value, []byte(`"gib":"`+addr.Gib()+`"`)) {
				continue
			}
			found++
			value[len(value)-3] ^= 1
			if err := txn.Set(it.Item().KeyCopy(nil), value); err != nil {
				return err
			}
		}
		return nil
	}))
	if found != 1 {
		ts.Fatalf("%d records of %s, want one", found, addr)
	}
	ts.Check(db.Close())
}

func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3, "json FILE PATH WANT")
	if got := jsonPart(ts, args[0], args[1]); got != args[2] {
		ts.Fatalf("%s is %s, want %s", args[1], got, args[2])
	}
}

func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "capture VAR FILE [PATH]")
	text := strings.TrimSpace(ts.ReadFile(args[1]))
	if len(args) > 2 {
		text = jsonPart(ts, args[1], args[2])
	}
	ts.Setenv(args[0], text)
}

func cmdCaptureField(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 4, "capture-field VAR FILE LINE N")
	line, err := strconv.Atoi(args[2])
	ts.Check(err)
	n, err := strconv.Atoi(args[3])
	ts.Check(err)
	lines := strings.Split(ts.ReadFile(args[1]), "\n")
	if line >= len(lines) || n >= len(strings.Fields(lines[line])) {
		ts.Fatalf("%s has no word %d in line %d", args[1], n, line)
	}
	ts.Setenv(args[0], strings.Fields(lines[line])[n])
}

// jsonPart returns the part of a JSON text that a path leads to: names and
// indices, len for the number of items, - for the whole. A string is returned as
// it is, other values as JSON.
func jsonPart(ts *testscript.TestScript, file, path string) string {
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile(file)))
	dec.UseNumber()
	var v any
	ts.Check(dec.Decode(&v))
	if _, err := dec.Token(); err != io.EOF {
		ts.Fatalf("%s has more than one JSON value", file)
	}
	for _, step := range strings.Split(path, ".") {
		switch at := v.(type) {
		case []any:
			if step == "len" {
				v = json.Number(strconv.Itoa(len(at)))
				continue
			}
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(at) {
				ts.Fatalf("%s: no %q in %d items", path, step, len(at))
			}
			v = at[i]
		case map[string]any:
			if step == "-" {
				continue
			}
			member, ok := at[step]
			if !ok {
				ts.Fatalf("%s: no member %q", path, step)
			}
			v = member
		default:
			ts.Fatalf("%s: %q leads nowhere", path, step)
		}
	}
	if s, ok := v.(string); ok {
		return s
	}
	text, err := json.Marshal(v)
	ts.Check(err)
	return string(text)
}

func cmdSafe(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "safe FILE")
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = strings.TrimSuffix(line, "\n")
		if i := strings.IndexFunc(line, unsafeRune); i >= 0 {
			ts.Fatalf("%q is not safe at %d", line, i)
		}
	}
}

func cmdUnread(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "unread PROGRAM ARGS...")
	cmd := command(ts, args[0], args[1:]...)
	r, w, err := os.Pipe()
	ts.Check(err)
	r.Close()
	defer w.Close()
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	checkCode(ts, cmd.Run(), exitPipe)
	if stderr.Len() > 0 {
		ts.Fatalf("stderr: %s", stderr.String())
	}
}

func cmdInterruptReading(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "interrupt-reading PROGRAM ARGS...")
	cmd := command(ts, args[0], args[1:]...)
	in, err := cmd.StdinPipe()
	ts.Check(err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	ts.Check(cmd.Start())
	// More than a pipe holds, so the program is reading when this returns.
	_, err = in.Write(bytes.Repeat([]byte("\n"), 1<<20))
	ts.Check(err)
	ts.Check(cmd.Process.Signal(os.Interrupt))
	checkCode(ts, cmd.Wait(), exitCanceled)
	if got := stderr.String(); got != "ibgib-node: stopped\n" {
		ts.Fatalf("stderr: %s", got)
	}
}

func cmdInterruptDialing(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "interrupt-dialing DIR PEER")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	ts.Check(err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	cmd := command(ts, "ibgib-node", "sync", "--data", args[0], fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", port, args[1]))
	ts.Check(cmd.Start())
	conn, err := l.Accept()
	ts.Check(err)
	defer conn.Close()
	ts.Check(cmd.Process.Signal(os.Interrupt))
	checkCode(ts, cmd.Wait(), exitCanceled)
}

func TestPlatformData(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Setenv("LocalAppData", `/local`)
	t.Setenv("XDG_DATA_HOME", "")
	for goos, want := range map[string]string{
		"linux": "/home/me/.local/share", "freebsd": "/home/me/.local/share",
		"darwin": "/home/me/Library/Application Support", "windows": "/local",
	} {
		if runtime.GOOS == "windows" {
			t.Skip("paths of other platforms")
		}
		if got, err := platformData(goos); got != want || err != nil {
			t.Errorf("%s: %q, %v", goos, got, err)
		}
	}
	t.Setenv("XDG_DATA_HOME", "/xdg")
	if got, _ := platformData("linux"); got != "/xdg" {
		t.Errorf("got %q", got)
	}
	t.Setenv("XDG_DATA_HOME", "relative")
	if got, _ := platformData("linux"); got != "/home/me/.local/share" {
		t.Errorf("got %q", got)
	}
}
