//go:build linux

package netlab_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/ibgib/ibgib-node/dht/netlab"
)

// The test binary is what runs in the machines: "listen ADDRESS" says ready when
// it takes connections, "dial ADDRESS" ends well if it gets one.
func TestMain(m *testing.M) {
	if len(os.Args) != 3 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "listen":
		if _, err := net.Listen("tcp", os.Args[2]); err == nil {
			fmt.Println("ready")
			select {}
		}
	case "dial":
		if _, err := net.DialTimeout("tcp", os.Args[2], time.Second); err == nil {
			return
		}
	default:
		os.Exit(m.Run())
	}
	os.Exit(1)
}

func TestMachines(t *testing.T) {
	lab := netlab.New(t)
	lan, other := lab.Bridge("lan"), lab.Bridge("other")
	a, b, c := lab.Machine("a"), lab.Machine("b"), lab.Machine("c")
	link := a.Plug(lan, "10.77.0.1/24")
	b.Plug(lan, "10.77.0.2/24")
	c.Plug(other, "10.77.0.3/24")

	listener := b.Command(t.Context(), os.Args[0], "listen", "10.77.0.2:9000")
	out, err := listener.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Start(); err != nil {
		t.Fatal(err)
	}
	defer listener.Wait()
	defer listener.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the listener said %q, %v", line, err)
	}
	reaches := func(m *netlab.Machine) bool {
		return m.Command(t.Context(), os.Args[0], "dial", "10.77.0.2:9000").Run() == nil
	}
	if !reaches(a) {
		t.Error("a does not reach b, on the same bridge")
	}
	if reaches(c) {
		t.Error("c reaches b, on another bridge")
	}
	a.IP("link", "set", link, "down")
	if reaches(a) {
		t.Error("a reaches b though its link is down")
	}
}
