package metrics

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/saga"
)

// Outcomes of sagas beside the names of saga.Code.
const (
	converged = "converged" // something moved, and both sides have the same heads
	equal     = "equal"     // nothing had to move
	unequal   = "unequal"   // it ended well, and heads still differ: something was refused, or more came meanwhile
	failed    = "failed"    // by an error of this node
)

// outcomes are the values of the label outcome of sagas.
func outcomes() []string {
	list := []string{converged, equal, unequal, failed}
	for c := saga.CodeInternal; c <= saga.CodeUnreachable; c++ {
		list = append(list, c.String())
	}
	return list
}

func outcomeOf(r saga.Result, err error) string {
	var e *saga.Error
	switch {
	case errors.As(err, &e) && e.Code >= saga.CodeInternal && e.Code <= saga.CodeUnreachable:
		return e.Code.String()
	case err != nil:
		return failed
	case r.Equal:
		return equal
	case r.Converged:
		return converged
	}
	return unequal
}

// fetchOutcomes are the values of the label outcome of fetches.
var fetchOutcomes = []string{"found", "not_found", "canceled", "busy", failed}

func (s *Set) countFetches() {
	ended := s.vec("fetches_total", "Fetches that this node has begun and that have ended, by how.", "outcome")
	s.fetches = make(map[string]prometheus.Counter)
	for _, outcome := range fetchOutcomes {
		s.fetches[outcome] = ended.WithLabelValues(outcome)
	}
	s.fetchedIbGibs = s.vec("fetched_ibgibs_total", "ibGibs that fetches of this node have brought.").WithLabelValues()
	s.fetchedBytes = s.vec("fetched_message_bytes_total", "Bytes of the messages by which fetches of this node have brought ibGibs.").WithLabelValues()
}

// Fetched counts a fetch that has ended, with what it has brought.
func (s *Set) Fetched(ibGibs int, bytes int64, err error) {
	outcome := failed
	var e *saga.Error
	switch is := errors.As(err, &e); {
	case err == nil:
		outcome = "found"
	case errors.Is(err, blockstore.ErrNotFound):
		outcome = "not_found"
	case is && e.Code == saga.CodeBusy:
		outcome = "busy"
	case is && e.Code == saga.CodeCanceled, errors.Is(err, context.Canceled):
		outcome = "canceled"
	}
	s.fetches[outcome].Inc()
	s.fetchedIbGibs.Add(float64(ibGibs))
	s.fetchedBytes.Add(float64(bytes))
}
