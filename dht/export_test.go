package dht

import "time"

// AnnounceAgainEvery shortens what lies between two times that everything is announced
// again.
func (o KadOptions) AnnounceAgainEvery(d time.Duration) KadOptions {
	o.announceAgain = d
	return o
}
