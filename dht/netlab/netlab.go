//go:build linux

// Package netlab builds networks for tests out of Linux network namespaces:
// machines with interfaces of their own, joined by bridges. Nothing in them
// reaches the machine that the test runs on, nor the reverse, so a test may
// multicast there and take links down as it likes.
//
// It needs root and the program ip of iproute2. Where namespaces are not allowed
// a test is skipped with the reason, or fails if the environment variable
// IBGIB_NODE_NETNS is "required".
package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// Lab is what one test has built. It is taken down at the end of the test, also
// after a failure.
type Lab struct {
	t      testing.TB
	prefix string // of the names of its namespaces
	links  int    // made so far
}

// required is the environment variable that turns a skip into a failure.
const required = "IBGIB_NODE_NETNS"

// family begins the names of all namespaces that this package makes; the process
// id and the number of the lab follow.
const family = "ibgiblab-"

// labs counts those of this process.
var labs atomic.Int64

// New begins a lab. It skips the test where there cannot be one.
func New(t testing.TB) *Lab {
	t.Helper()
	l := &Lab{t: t, prefix: fmt.Sprintf("%s%d-%d-", family, os.Getpid(), labs.Add(1))}
	sweep()
	if err := l.try(); err != nil {
		if os.Getenv(required) == "required" {
			t.Fatalf("no network namespaces: %v", err)
		}
		t.Skipf("no network namespaces: %v", err)
	}
	return l
}

// try finds out whether namespaces can be made and joined.
func (l *Lab) try() error {
	if _, err := exec.LookPath("ip"); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("this needs root")
	}
	name := l.prefix + "try"
	if err := run("ip", "netns", "add", name); err != nil {
		return err
	}
	return errors.Join(
		run("ip", "netns", "exec", name, "ip", "link", "add", "name", "veth0", "type", "veth", "peer", "name", "veth1"),
		run("ip", "netns", "exec", name, "ip", "link", "add", "name", "bridge", "type", "bridge"),
		run("ip", "netns", "del", name),
	)
}

// sweep removes the namespaces of processes that did not come to their end.
func sweep() {
	list, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return
	}
	for line := range strings.Lines(string(list)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(name, family)
		pid, _, _ := strings.Cut(rest, "-")
		n, err := strconv.Atoi(pid)
		if ours && err == nil && errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			_ = run("ip", "netns", "del", name) // another test may have been faster
		}
	}
}

// run runs a program; its output is in the error.
func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Machine is a network namespace with a loopback interface that is up.
type Machine struct {
	lab  *Lab
	name string
}

// Machine adds a machine.
func (l *Lab) Machine(name string) *Machine {
	l.t.Helper()
	m := &Machine{l, l.prefix + name}
	if err := run("ip", "netns", "add", m.name); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := run("ip", "netns", "del", m.name); err != nil {
			l.t.Error(err)
		}
	})
	m.IP("link", "set", "lo", "up")
	return m
}

// Bridge is a switch: machines that are plugged into it are on one LAN.
type Bridge struct {
	on *Machine // a namespace of its own
}

// Bridge adds a bridge.
func (l *Lab) Bridge(name string) *Bridge {
	l.t.Helper()
	b := &Bridge{l.Machine(name)}
	b.on.IP("link", "add", "name", "bridge", "type", "bridge", "mcast_snooping", "0")
	b.on.IP("link", "set", "bridge", "up")
	return b
}

// Forward lets a machine pass on what others send through it, as a router does, or
// not. It skips the test where that cannot be chosen.
func (m *Machine) Forward(on bool) {
	m.lab.t.Helper()
	value := "0"
	if on {
		value = "1"
	}
	cmd := m.Command(m.lab.t.Context(), "sh", "-c", "echo "+value+" >/proc/sys/net/ipv4/ip_forward")
	if out, err := cmd.CombinedOutput(); err != nil {
		m.lab.t.Skipf("no router: %v: %s", err, out)
	}
}

// Plug joins a machine to a bridge and gives it an address there, like
// 10.0.0.1/24. It returns the name of the new interface, which is up.
func (m *Machine) Plug(b *Bridge, address string) string {
	m.lab.t.Helper()
	m.lab.links++
	name := fmt.Sprintf("eth%d", m.lab.links)
	b.on.IP("link", "add", "name", name, "type", "veth", "peer", "name", name, "netns", m.name)
	b.on.IP("link", "set", name, "master", "bridge", "up")
	m.IP("link", "set", name, "up")
	m.IP("addr", "add", address, "dev", name)
	return name
}

// IP runs the program ip in the machine: m.IP("link", "set", "eth1", "down").
func (m *Machine) IP(args ...string) {
	m.lab.t.Helper()
	if err := run("ip", append([]string{"-n", m.name}, args...)...); err != nil {
		m.lab.t.Fatal(err)
	}
}

// Command prepares a program that runs in the machine. What is started must have
// ended before the test does.
func (m *Machine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", m.name, name}, args...)...)
}
