package main

import (
	"testing"

	"github.com/ibgib/ibgib-node/node"
)

func TestSyncLine(t *testing.T) {
	for want, p := range map[string]node.SyncProgress{
		"stage ack":            {Stage: "ack"},
		"stage a\\u001b":       {Stage: "a\x1b"},
		"3 sent":               {Stage: "delta", Sent: node.Traffic{IbGibs: 3}},
		"7 received, 1.5 MB/s": {Received: node.Traffic{IbGibs: 7}, Rate: node.Rate{IbGibs: 2000, Bytes: 1.5e6}},
		"3 sent, 7 received, 900 B/s, 1m6s left": {
			Sent: node.Traffic{IbGibs: 3}, Received: node.Traffic{IbGibs: 7}, Rate: node.Rate{Bytes: 900}, SecondsLeft: 65.3,
		},
		"9 received, being stored": {Received: node.Traffic{IbGibs: 9}, Rate: node.Rate{Bytes: 1}, Heads: 2},
	} {
		if got := syncLine(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
