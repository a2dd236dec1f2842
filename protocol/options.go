package protocol

import (
	"fmt"
	"log/slog"
	"time"
)

// Options tunes connections and the service. The zero value of a field is its
// default.
type Options struct {
	// IdleTimeout bounds the wait for the other side's next message to begin.
	// It is the last resort: a saga has an idle timeout of its own, which knows
	// when the other side waits for this one. Default 10 minutes.
	IdleTimeout time.Duration
	// StallTimeout bounds a message that has begun, either way: it has this
	// long, and one second more for each MinRate bytes. The first message of a
	// stream has as long to begin. Default 30 s.
	StallTimeout time.Duration
	// CloseTimeout bounds what waits for the other side to have taken the last
	// message: Close, and Abort after an error message, counted from that.
	// Default 2 s.
	CloseTimeout time.Duration
	// DialTimeout bounds Dial. Default 15 s.
	DialTimeout time.Duration
	// MeetTimeout bounds a meeting on an open stream, but for its end, which the
	// close timeout bounds. Default 10 s.
	MeetTimeout time.Duration
	// NoticeTimeout bounds Notify. Default 10 s.
	NoticeTimeout time.Duration

	// MaxSagas and MaxSagasPerPeer bound the connections that a Service has
	// handed on and that have not ended. Defaults 32 and 4.
	MaxSagas        int
	MaxSagasPerPeer int

	// Throttle slows connections down; one for all of a node. Default: nothing does.
	Throttle *Throttle

	// Logger gets what a Service refuses, at debug level. Default: nobody.
	Logger *slog.Logger
}

// MinRate is the slowest pace at which a message may travel, in bytes a second.
const MinRate = 4 << 10

func (o Options) withDefaults() (Options, error) {
	durations := []struct {
		name     string
		value    *time.Duration
		standard time.Duration
	}{
		{"IdleTimeout", &o.IdleTimeout, 10 * time.Minute},
		{"StallTimeout", &o.StallTimeout, 30 * time.Second},
		{"CloseTimeout", &o.CloseTimeout, 2 * time.Second},
		{"DialTimeout", &o.DialTimeout, 15 * time.Second},
		{"MeetTimeout", &o.MeetTimeout, 10 * time.Second},
		{"NoticeTimeout", &o.NoticeTimeout, 10 * time.Second},
	}
	for _, d := range durations {
		if *d.value < 0 {
			return Options{}, fmt.Errorf("protocol: %s is negative", d.name)
		}
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	counts := []struct {
		name     string
		value    *int
		standard int
	}{
		{"MaxSagas", &o.MaxSagas, 32},
		{"MaxSagasPerPeer", &o.MaxSagasPerPeer, 4},
	}
	for _, n := range counts {
		if *n.value < 0 {
			return Options{}, fmt.Errorf("protocol: %s is negative", n.name)
		}
		if *n.value == 0 {
			*n.value = n.standard
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
