package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type followersKey struct{}

// followed is a program that a script reads as it runs.
type followed struct {
	cmd    *exec.Cmd
	lines  chan string // closed at the end of its output
	stderr bytes.Buffer
}

// seesWithin bounds what sees and leave wait for.
const seesWithin = 30 * time.Second

func cmdFollow(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "follow NAME PROGRAM ARGS...")
	f := &followed{cmd: command(ts, args[1], args[2:]...), lines: make(chan string, 1000)}
	out, err := f.cmd.StdoutPipe()
	ts.Check(err)
	f.cmd.Stderr = &f.stderr
	ts.Check(f.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(f.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			f.lines <- in.Text()
		}
	}()
	ts.Value(followersKey{}).(map[string]*followed)[args[0]] = f
	ts.Defer(func() {
		if f.cmd.ProcessState == nil {
			f.cmd.Process.Kill()
			<-read
			f.cmd.Wait()
			ts.Logf("stderr of %s:\n%s", args[0], f.stderr.String())
		}
	})
}

func cmdSees(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "sees NAME REGEXP")
	f := ts.Value(followersKey{}).(map[string]*followed)[args[0]]
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	limit := time.After(seesWithin)
	for {
		select {
		case line, ok := <-f.lines:
			if !ok {
				ts.Fatalf("%s has ended without a line like %s\n%s", args[0], pattern, f.stderr.String())
			}
			ts.Logf("%s", line)
			if pattern.MatchString(line) {
				return
			}
		case <-limit:
			ts.Fatalf("%s does not print a line like %s", args[0], pattern)
		}
	}
}

func cmdLeave(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "leave NAME [CODE]")
	f := ts.Value(followersKey{}).(map[string]*followed)[args[0]]
	want := exitCanceled
	if len(args) > 1 {
		code, err := strconv.Atoi(args[1])
		ts.Check(err)
		want = exitCode(code)
	} else {
		ts.Check(f.cmd.Process.Signal(os.Interrupt))
	}
	limit := time.After(seesWithin)
	for open := true; open; {
		select {
		case _, open = <-f.lines:
		case <-limit:
			ts.Fatalf("%s does not end", args[0])
		}
	}
	checkCode(ts, f.cmd.Wait(), want)
	ts.Logf("stderr of %s:\n%s", args[0], f.stderr.String())
}
