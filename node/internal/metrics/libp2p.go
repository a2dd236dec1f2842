package metrics

import (
	"time"

	bandwidth "github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libprotocol "github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	"github.com/ibgib/ibgib-node/protocol"
)

// resources are the values of the label resource: of what the resource manager did not
// allow one more.
var resources = []string{"connection", "stream", "peer", "protocol", "service", "memory"}

// Resources returns what the resource manager of a host tells.
func (s *Set) Resources() rcmgr.MetricsReporter { return resourceReporter{s} }

type resourceReporter struct{ s *Set }

func (r resourceReporter) block(resource string) { r.s.blocked[resource].Inc() }

func (r resourceReporter) BlockConn(network.Direction, bool)             { r.block("connection") }
func (r resourceReporter) BlockStream(peer.ID, network.Direction)        { r.block("stream") }
func (r resourceReporter) BlockPeer(peer.ID)                             { r.block("peer") }
func (r resourceReporter) BlockProtocol(libprotocol.ID)                  { r.block("protocol") }
func (r resourceReporter) BlockProtocolPeer(_ libprotocol.ID, _ peer.ID) { r.block("protocol") }
func (r resourceReporter) BlockService(string)                           { r.block("service") }
func (r resourceReporter) BlockServicePeer(string, peer.ID)              { r.block("service") }
func (r resourceReporter) BlockMemory(int)                               { r.block("memory") }
func (r resourceReporter) AllowConn(network.Direction, bool)             {}
func (r resourceReporter) AllowStream(peer.ID, network.Direction)        {}
func (r resourceReporter) AllowPeer(peer.ID)                             {}
func (r resourceReporter) AllowProtocol(libprotocol.ID)                  {}
func (r resourceReporter) AllowService(string)                           {}
func (r resourceReporter) AllowMemory(int)                               {}

// protocols are the values of the label protocol.
var protocols = []string{"sync", "fetch", "dht", "other"}

// Traffic returns what a host tells of the bytes of its streams. kad are the protocols of
// the DHT.
func (s *Set) Traffic(kad []libprotocol.ID) bandwidth.Reporter {
	r := &trafficReporter{other: s.traffic["other"], of: map[libprotocol.ID]both{
		protocol.ID: s.traffic["sync"], protocol.FetchID: s.traffic["fetch"],
	}}
	for _, id := range kad {
		r.of[id] = s.traffic["dht"]
	}
	return r
}

type trafficReporter struct {
	of    map[libprotocol.ID]both // does not change
	other both
}

func (r *trafficReporter) at(id libprotocol.ID) both {
	if b, ok := r.of[id]; ok {
		return b
	}
	return r.other
}

func (r *trafficReporter) LogSentMessageStream(n int64, id libprotocol.ID, _ peer.ID) {
	r.at(id).sent.Add(float64(n))
}

func (r *trafficReporter) LogRecvMessageStream(n int64, id libprotocol.ID, _ peer.ID) {
	r.at(id).received.Add(float64(n))
}

// What a bandwidth.Reporter must have besides, which nobody asks for here.

func (*trafficReporter) LogSentMessage(int64)                            {}
func (*trafficReporter) LogRecvMessage(int64)                            {}
func (*trafficReporter) GetBandwidthForPeer(peer.ID) (s bandwidth.Stats) { return s }
func (*trafficReporter) GetBandwidthTotals() (s bandwidth.Stats)         { return s }
func (*trafficReporter) GetBandwidthByPeer() map[peer.ID]bandwidth.Stats { return nil }
func (*trafficReporter) Reset()                                          {}
func (*trafficReporter) TrimIdle(time.Time)                              {}
func (*trafficReporter) GetBandwidthForProtocol(libprotocol.ID) (s bandwidth.Stats) {
	return s
}
func (*trafficReporter) GetBandwidthByProtocol() map[libprotocol.ID]bandwidth.Stats { return nil }
