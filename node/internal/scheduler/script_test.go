package scheduler_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node/internal/scheduler"
)

var update = flag.Bool("update", false, "write what the Core does into the scripts, to be read by a person")

// Scripts tell a Core what happens, a command a line; what it then does stands
// below, indented. Roots, heads and peers have names of one letter or more. Commands:
//
//	random X                          chance gives X from here on; 0.5 at first
//	trust P, untrust P
//	connect P [dialed], disconnect P
//	open
//	change ROOT[@FROM]... [moves=N] [all]
//	notice P [lack ROOT:HEAD,HEAD...] [same ROOT...]
//	handed P OUTCOME [ROOT...]        the notice ended; these are left
//	begin JOB P [ROOT...] [one-way]   a saga that others began
//	end JOB OUTCOME
//	want ROOT:HEAD retry=DURATION [P...]   add to the list of wants
//	nothing wanted
//	wait DURATION                     step whenever the Core asks to
//
// The jobs of the Core are numbers from 1, those of others begin with x.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, "no scripts")
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if got == string(text) {
				return
			}
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("the Core does something else:\n%s", firstDifference(got, string(text)))
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d:\n%s\nwant the script:\n%s", i+1, strings.Join(g[max(0, i-3):i+1], "\n"), w[min(i, len(w)-1)])
		}
	}
	return "the script goes on: " + w[len(g)]
}

// play runs a script and returns it with what the Core does.
func play(t *testing.T, text string) string {
	t.Helper()
	s := &stage{t: t, random: 0.5, now: start}
	s.core = scheduler.New("self", 5*time.Minute, func() float64 { return s.random })
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue
		}
		fmt.Fprintln(&s.out, line)
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			s.command(words)
		}
	}
	return s.out.String()
}

var start = time.Unix(1_700_000_000, 0)

// stage is where a script plays.
type stage struct {
	t      *testing.T
	core   *scheduler.Core
	random float64
	now    time.Time
	wants  []scheduler.Want
	out    strings.Builder
}

func (s *stage) command(words []string) {
	args := words[1:]
	switch words[0] {
	case "random":
		var err error
		if s.random, err = strconv.ParseFloat(args[0], 64); err != nil {
			s.t.Fatal(err)
		}
	case "trust":
		s.step(scheduler.Trusted{Peer: scheduler.Peer(args[0])})
	case "untrust":
		s.step(scheduler.Untrusted{Peer: scheduler.Peer(args[0])})
	case "connect":
		s.step(scheduler.Connected{Peer: scheduler.Peer(args[0]), Dialed: len(args) > 1})
	case "disconnect":
		s.step(scheduler.Disconnected{Peer: scheduler.Peer(args[0])})
	case "open":
		s.step(scheduler.Opened{})
	case "change":
		s.step(s.change(args))
	case "notice":
		s.step(s.notice(args))
	case "handed":
		s.step(scheduler.Handed{Peer: scheduler.Peer(args[0]), Outcome: s.outcome(args[1]), Left: roots(args[2:])})
	case "begin":
		e := scheduler.Began{Job: s.job(args[0]), Peer: scheduler.Peer(args[1])}
		args = args[2:]
		if n := len(args); n > 0 && args[n-1] == "one-way" {
			e.OneWay = true
			args = args[:n-1]
		}
		e.Roots = roots(args)
		s.step(e)
	case "end":
		s.step(scheduler.Ended{Job: s.job(args[0]), Outcome: s.outcome(args[1])})
	case "want":
		w := scheduler.Want{Lack: lackOf(args[0])}
		w.Retry = s.now.Add(s.duration(strings.TrimPrefix(args[1], "retry=")))
		for _, p := range args[2:] {
			w.Peers = append(w.Peers, scheduler.Peer(p))
		}
		s.wants = append(s.wants, w)
		s.step(scheduler.Wanted{Wants: s.wants})
	case "nothing":
		s.wants = nil
		s.step(scheduler.Wanted{})
	case "wait":
		s.wait(s.duration(args[0]))
	default:
		s.t.Fatalf("no command %q", words[0])
	}
}

func (s *stage) step(e scheduler.Event) {
	s.core.Step(s.now, e)
	for _, a := range s.core.Work() {
		fmt.Fprintf(&s.out, "  %s %s\n", s.now.Sub(start), show(a))
	}
}

// wait lets time pass, and steps when the Core asks to.
func (s *stage) wait(d time.Duration) {
	end := s.now.Add(d)
	for range 1000 {
		at, ok := s.core.Next()
		if !ok || at.After(end) {
			s.now = end
			return
		}
		s.now = at
		s.step(scheduler.Tick{})
	}
	s.t.Fatal("the Core asks to be stepped all the time")
}

func (s *stage) change(args []string) scheduler.Event {
	var e scheduler.Changed
	for _, arg := range args {
		if moves, ok := strings.CutPrefix(arg, "moves="); ok {
			n, err := strconv.ParseUint(moves, 10, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			e.Moves = n
			continue
		}
		if arg == "all" {
			e.All = true
			continue
		}
		root, from, _ := strings.Cut(arg, "@")
		e.Changes = append(e.Changes, scheduler.Change{Root: hash(root), From: scheduler.Peer(from)})
	}
	e.Moves = max(e.Moves, uint64(len(e.Changes)))
	return e
}

func (s *stage) notice(args []string) scheduler.Event {
	e := scheduler.Noticed{Peer: scheduler.Peer(args[0])}
	part := ""
	for _, arg := range args[1:] {
		switch {
		case arg == "lack" || arg == "same":
			part = arg
		case part == "same":
			e.Same = append(e.Same, hash(arg))
		case part == "lack":
			e.Lacking = append(e.Lacking, lackOf(arg))
		default:
			s.t.Fatalf("notice %q", args)
		}
	}
	return e
}

func (s *stage) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *stage) job(text string) scheduler.Job {
	number, foreign := strings.CutPrefix(text, "x")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		s.t.Fatal(err)
	}
	if foreign {
		return scheduler.Foreign | scheduler.Job(n)
	}
	return scheduler.Job(n)
}

func (s *stage) outcome(text string) scheduler.Outcome {
	o, ok := map[string]scheduler.Outcome{
		"ok": scheduler.OK, "needless": scheduler.Needless, "busy": scheduler.Busy,
		"lost": scheduler.Lost, "refused": scheduler.Refused, "broken": scheduler.Broken,
	}[text]
	if !ok {
		s.t.Fatalf("no outcome %q", text)
	}
	return o
}

// hash returns the hash that a name stands for.
func hash(name string) (h ibgib.Hash) {
	copy(h[:], name)
	return h
}

func name(h ibgib.Hash) string { return strings.TrimRight(string(h[:]), "\x00") }

func roots(names []string) (list []ibgib.Hash) {
	for _, n := range names {
		list = append(list, hash(n))
	}
	return list
}

func lackOf(text string) scheduler.Lack {
	root, heads, some := strings.Cut(text, ":")
	l := scheduler.Lack{Root: hash(root)}
	if some {
		l.Heads = roots(strings.Split(heads, ","))
	}
	return l
}

// show returns an action as it stands in a script.
func show(a scheduler.Action) string {
	switch a := a.(type) {
	case scheduler.Notify:
		text := "notify " + string(a.Peer)
		for _, root := range a.Roots {
			text += " " + name(root)
		}
		return text
	case scheduler.Sync:
		text := fmt.Sprintf("sync %d %s", a.Job, a.Peer)
		if a.Lacking == nil {
			return text + " all"
		}
		for _, l := range a.Lacking {
			text += " " + name(l.Root)
			for i, h := range l.Heads {
				text += []string{":", ","}[min(i, 1)] + name(h)
			}
		}
		return text
	}
	return fmt.Sprintf("%#v", a)
}
