package dht_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/zeroconf/v2"

	"github.com/ibgib/ibgib-node/dht"
	"github.com/ibgib/ibgib-node/dht/netlab"
)

// Tests run the test binary again, in the machines of a lab, with childVar set to
// its task.
const childVar = "IBGIB_DHT_TEST_CHILD"

func TestMain(m *testing.M) {
	switch service := os.Getenv(childVar); service {
	case "":
		os.Exit(m.Run())
	case "sizes":
		tellSizes()
	case "flood":
		flood()
	case "shout":
		shout()
	case "listen":
		listen()
	case "deaf":
		deaf()
	default:
		search(service)
	}
}

// said is a line that a child prints.
type said struct {
	ID     string   // first: who it is
	Found  string   // a peer
	Addrs  []string // of it
	Report string   // how the search goes
	Size   int      // of a packet, or of the heap in KiB
}

func tell(s said) {
	text, _ := json.Marshal(s)
	fmt.Println(string(text))
}

// search searches until standard input ends.
func search(service string) {
	ctx, cancel := context.WithCancel(context.Background())
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/0.0.0.0/tcp/4200", "/ip4/0.0.0.0/udp/4200/quic-v1"), libp2p.DisableRelay())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tell(said{ID: h.ID().String()})
	reports := make(chan error, 16)
	m := dht.StartMDNS(ctx, h, service, dht.MDNSOptions{Report: func(err error) { reports <- err }})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	for ctx.Err() == nil {
		select {
		case info := <-m.Found():
			s := said{Found: info.ID.String()}
			for _, a := range info.Addrs {
				s.Addrs = append(s.Addrs, a.String())
			}
			tell(s)
		case err := <-reports:
			tell(said{Report: fmt.Sprint(err)})
		case <-ctx.Done():
		}
	}
	m.Close()
	h.Close()
}

// flood announces many peers that do not exist, until it is killed.
func flood() {
	for i := range 100 {
		_, key, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			panic(err)
		}
		id, err := peer.IDFromPublicKey(key)
		if err != nil {
			panic(err)
		}
		text := fmt.Sprintf("dnsaddr=/ip4/10.77.0.%d/tcp/1/p2p/%s", i, id)
		if _, err := zeroconf.RegisterProxy(fmt.Sprint("p", i), service, "local", 1, "p", []string{"10.77.0.1"}, []string{text}, nil); err != nil {
			panic(err)
		}
	}
	tell(said{ID: "ready"})
	select {}
}

// shouted is how many peers shout announces.
const shouted = 900

// shout announces peers that do not exist, each in a packet of 60 KiB, again and again
// until it is killed.
func shout() {
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 77, 0, 1)}, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353})
	if err != nil {
		panic(err)
	}
	var packets [][]byte
	for i := range shouted {
		_, key, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			panic(err)
		}
		id, err := peer.IDFromPublicKey(key)
		if err != nil {
			panic(err)
		}
		texts := []string{fmt.Sprintf("dnsaddr=/ip4/10.77.0.1/tcp/1/p2p/%s", id)}
		for range 240 {
			texts = append(texts, strings.Repeat("x", 250))
		}
		packets = append(packets, announcement(fmt.Sprint("p", i), texts))
	}
	tell(said{ID: "ready"})
	for tick := time.Tick(time.Millisecond); ; {
		for _, b := range packets {
			<-tick
			_, _ = conn.Write(b)
		}
	}
}

// announcement returns a packet of mDNS: a name with its texts.
func announcement(name string, texts []string) []byte {
	domain := func(name string) (b []byte) {
		for label := range strings.SplitSeq(name, ".") {
			b = append(append(b, byte(len(label))), label...)
		}
		return append(b, 0)
	}
	b := []byte{0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0} // an answer of four records
	add := func(name string, kind uint16, data []byte) {
		b = append(b, domain(name)...)
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint16(b, 1)
		b = binary.BigEndian.AppendUint32(b, 3600)
		b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
		b = append(b, data...)
	}
	var text []byte
	for _, t := range texts {
		text = append(append(text, byte(len(t))), t...)
	}
	const ptr, txt, srv, a = 12, 16, 33, 1
	full := name + "." + service + ".local"
	add(service+".local", ptr, domain(full))
	add(full, srv, append([]byte{0, 0, 0, 0, 0, 1}, domain("h.local")...))
	add(full, txt, text)
	add("h.local", a, []byte{10, 77, 0, 1})
	return b
}

// listen searches until it has found all that shout announces, and then tells how much
// the heap has grown.
func listen() {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/0.0.0.0/tcp/4200"), libp2p.DisableRelay())
	if err != nil {
		panic(err)
	}
	before := liveHeap()
	m := dht.StartMDNS(context.Background(), h, service, dht.MDNSOptions{})
	tell(said{ID: h.ID().String()})
	for found := make(map[peer.ID]bool); len(found) < shouted; {
		found[(<-m.Found()).ID] = true
	}
	tell(said{Size: int((liveHeap() - before) >> 10)})
	_, _ = io.Copy(io.Discard, os.Stdin)
	m.Close()
	h.Close()
}

// deaf searches, takes nothing of what is found, and ends when it is told to.
func deaf() {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/0.0.0.0/tcp/4200"), libp2p.DisableRelay())
	if err != nil {
		panic(err)
	}
	m := dht.StartMDNS(context.Background(), h, service, dht.MDNSOptions{})
	tell(said{ID: h.ID().String()})
	for look := time.Tick(20 * time.Millisecond); len(m.Found()) < cap(m.Found()); {
		<-look
	}
	tell(said{Report: "full"})
	_, _ = io.Copy(io.Discard, os.Stdin)
	m.Close()
	h.Close()
}

// tellSizes tells how large the packets are that go round.
func tellSizes() {
	list, err := net.Interfaces()
	if err != nil || len(list) < 2 {
		fmt.Fprintln(os.Stderr, "no interface but loopback:", err)
		os.Exit(1)
	}
	conn, err := net.ListenMulticastUDP("udp4", &list[1], &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tell(said{ID: "ready"})
	for b := make([]byte, 65536); ; {
		n, _, err := conn.ReadFrom(b)
		if err != nil {
			os.Exit(1)
		}
		tell(said{Size: n})
	}
}

const patience = 60 * time.Second

// seeker is a child that searches.
type seeker struct {
	id    string
	lines chan said
}

func start(t *testing.T, on *netlab.Machine, task string) *seeker {
	t.Helper()
	cmd := on.Command(context.WithoutCancel(t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+task)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &seeker{lines: make(chan said, 10_000)}
	go func() {
		defer close(s.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var line said
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Errorf("a child said %q", lines.Text())
			}
			s.lines <- line
		}
	}()
	t.Cleanup(func() {
		in.Close()
		if task == "sizes" || task == "flood" || task == "shout" {
			cmd.Process.Kill()
			cmd.Wait()
			return
		}
		late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		for range s.lines {
		}
		if err := cmd.Wait(); err != nil || !late.Stop() {
			t.Errorf("a search did not end in good order: %v", err)
		}
	})
	s.id = s.await(t, "its id", func(l said) bool { return l.ID != "" }).ID
	return s
}

// await returns the first line from here on that is right.
func (s *seeker) await(t *testing.T, what string, right func(said) bool) said {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("no %s: the child is gone", what)
			}
			if right(line) {
				return line
			}
		case <-limit:
			t.Fatalf("no %s", what)
		}
	}
}

func (s *seeker) finds(t *testing.T, other *seeker, addr string) {
	t.Helper()
	s.await(t, "peer at "+addr, func(l said) bool {
		return l.Found == other.id && slices.ContainsFunc(l.Addrs, func(a string) bool { return strings.HasPrefix(a, addr) })
	})
}

func (s *seeker) reports(t *testing.T, text string) {
	t.Helper()
	s.await(t, "report "+text, func(l said) bool { return l.Report == text })
}

const service, otherService = "_ib-aaaaaaaaaaaa._udp", "_ib-bbbbbbbbbbbb._udp"

func TestMDNS(t *testing.T) {
	lab := netlab.New(t)
	lan := lab.Bridge("lan")
	machineC := lab.Machine("c")
	machineC.Plug(lan, "10.77.0.3/24")
	stranger := start(t, machineC, otherService)
	stranger.reports(t, "<nil>")

	machineA, machineB := lab.Machine("a"), lab.Machine("b")
	link := machineA.Plug(lan, "10.77.0.1/24")
	a, b := start(t, machineA, service), start(t, machineB, service)
	a.reports(t, "<nil>")
	// b has no interface at first.
	b.reports(t, dht.ErrNoInterface.Error())
	machineB.Plug(lan, "10.77.0.2/24")
	b.reports(t, "<nil>")
	a.finds(t, b, "/ip4/10.77.0.2/")
	b.finds(t, a, "/ip4/10.77.0.1/")

	// An interface goes and comes back.
	machineA.IP("link", "set", link, "down")
	a.reports(t, dht.ErrNoInterface.Error())
	machineA.IP("link", "set", link, "up")
	a.reports(t, "<nil>")
	a.finds(t, b, "/ip4/10.77.0.2/")
	b.finds(t, a, "/ip4/10.77.0.1/")

	// Another address, in another subnet.
	machineA.IP("addr", "add", "192.168.77.1/24", "dev", link)
	machineA.IP("addr", "del", "10.77.0.1/24", "dev", link)
	b.finds(t, a, "/ip4/192.168.77.1/")

	select {
	case l := <-stranger.lines:
		t.Errorf("the stranger heard %+v", l)
	default:
	}
}

// A host with many interfaces announces itself in packets that are not cut into
// pieces, and is found at an address of the network that it shares.
func TestManyInterfaces(t *testing.T) {
	lab := netlab.New(t)
	lan := lab.Bridge("lan")
	many, one := lab.Machine("many"), lab.Machine("one")
	for i := range 12 {
		many.Plug(lan, fmt.Sprintf("10.78.%d.1/24", i))
	}
	one.Plug(lan, "10.78.3.2/24")
	sizes := start(t, one, "sizes")
	a, b := start(t, one, service), start(t, many, service)
	a.finds(t, b, "/ip4/10.78.3.1/")
	b.finds(t, a, "/ip4/10.78.3.2/")
	// Probes, answers and announcements follow each other in the first seconds.
	largest := 0
	for large := 0; large < 12; {
		size := sizes.await(t, "packet", func(l said) bool { return l.Size > 0 }).Size
		largest = max(largest, size)
		if size > 700 {
			large++
		}
	}
	if largest > 1452 { // 1,500 less the headers of IPv6 and UDP
		t.Errorf("the largest packet has %d bytes", largest)
	}
	t.Logf("the largest packet has %d bytes", largest)
}

// A search that hears of more peers than anybody takes waits, and still ends when
// it is told to.
func TestMoreThanIsTaken(t *testing.T) {
	lab := netlab.New(t)
	lan := lab.Bridge("lan")
	hostile, victim := lab.Machine("hostile"), lab.Machine("victim")
	hostile.Plug(lan, "10.77.0.1/24")
	victim.Plug(lan, "10.77.0.2/24")
	start(t, hostile, "flood")
	start(t, victim, "deaf").reports(t, "full")
}

// Long announcements do not stay in memory.
func TestLongAnnouncements(t *testing.T) {
	lab := netlab.New(t)
	lan := lab.Bridge("lan")
	hostile, victim := lab.Machine("hostile"), lab.Machine("victim")
	hostile.Plug(lan, "10.77.0.1/24")
	victim.Plug(lan, "10.77.0.2/24")
	start(t, hostile, "shout")
	grown := start(t, victim, "listen").await(t, "end of the search", func(l said) bool { return l.Size != 0 }).Size
	t.Logf("%d announcements of 60 KiB have the heap grow by %d KiB", shouted, grown)
	if grown > 20<<10 {
		t.Errorf("%d announcements of 60 KiB have the heap grow by %d KiB", shouted, grown)
	}
}
