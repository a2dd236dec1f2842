package metrics

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// TestRulesAreKnown reads the sources of the packages that have rules: each constant by
// which something is refused or kept out is counted under its own name.
func TestRulesAreKnown(t *testing.T) {
	s, found := New(), 0
	for _, pattern := range []string{"ibgib/refusal.go", "timeline/*.go", "blockstore/*.go", "node/internal/identity/*.go"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || !strings.HasPrefix(spec.Names[0].Name, "Rule") || len(spec.Values) != 1 {
					return true
				}
				lit, ok := spec.Values[0].(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				rule, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				if found++; s.refusals[rule] == nil && s.rejections[rule] == nil {
					t.Errorf("%s: the rule %s is counted as %s", file, rule, otherRule)
				}
				return true
			})
		}
	}
	if found < 40 {
		t.Errorf("found %d rules, so this test looks in the wrong places", found)
	}
}

// series returns the values of one metric by its labels.
func series(t *testing.T, s *Set, name string) map[string]float64 {
	t.Helper()
	families, err := s.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != Namespace+"_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			values[strings.Join(labels, " ")] = m.GetCounter().GetValue()
		}
	}
	return values
}

func TestForeignRulesHaveOneSeries(t *testing.T) {
	s := New()
	for i := range 1000 {
		s.Refused(fmt.Sprint("rule-", i))
		s.Rejected(fmt.Sprint("rule-", i))
	}
	s.Refused(string(ibgib.RuleTooDeep))
	if got := series(t, s, "refused_ibgibs_total"); len(got) != len(refusing)+1 || got[otherRule] != 1000 || got["too-deep"] != 1 {
		t.Errorf("refused %v", got)
	}
	if got := series(t, s, "rejected_frames_total"); len(got) != len(rejecting)+1 || got[otherRule] != 1000 {
		t.Errorf("rejected %v", got)
	}
}

func TestOutcomes(t *testing.T) {
	s := New()
	for _, c := range []struct {
		result saga.Result
		err    error
	}{
		{saga.Result{Converged: true}, nil},
		{saga.Result{Converged: true, Equal: true}, nil},
		{saga.Result{}, nil},
		{saga.Result{}, errors.New("disk")},
		{saga.Result{}, fmt.Errorf("wrapped: %w", &saga.Error{Code: saga.CodeBusy})},
		{saga.Result{}, &saga.Error{Code: 99, Text: "a code that a peer has made up"}},
	} {
		s.SagaEnded(saga.Responder, c.result, c.err)
	}
	want := map[string]float64{converged: 1, equal: 1, unequal: 1, failed: 2, "busy": 1}
	for labels, got := range series(t, s, "sagas_total") {
		outcome, role, _ := strings.Cut(labels, " ")
		if expected := want[outcome]; role == "responder" && got != expected || role == "initiator" && got != 0 {
			t.Errorf("%s: %v", labels, got)
		}
	}
	for _, err := range []error{nil, blockstore.ErrNotFound, &saga.Error{Code: saga.CodeBusy}, context.Canceled, &saga.Error{Code: saga.CodeCanceled}, errors.New("x")} {
		s.Fetched(2, 10, err)
	}
	for outcome, got := range series(t, s, "fetches_total") {
		if want := map[string]float64{"canceled": 2}[outcome]; got != max(want, 1) {
			t.Errorf("fetches %s: %v", outcome, got)
		}
	}
	if got := series(t, s, "fetched_ibgibs_total")[""]; got != 12 {
		t.Errorf("fetched %v ibGibs", got)
	}
}

// What a saga tells of while it runs is counted once.
func TestMeterCountsOnce(t *testing.T) {
	s := New()
	for range 2 {
		m := s.Meter()
		for i := range uint64(10) {
			m.Moved(saga.Totals{IbGibs: i, Bytes: 100 * i}, saga.Totals{IbGibs: 2 * i, Bytes: i})
		}
		m.Moved(saga.Totals{IbGibs: 9, Bytes: 900}, saga.Totals{IbGibs: 18, Bytes: 9})
	}
	if got := series(t, s, "saga_ibgibs_total"); got[Sent] != 18 || got[Received] != 36 {
		t.Errorf("ibGibs %v", got)
	}
	if got := series(t, s, "saga_ibgib_bytes_total"); got[Sent] != 1800 || got[Received] != 18 {
		t.Errorf("bytes %v", got)
	}
}

// BenchmarkCount is what a node pays that nobody asks.
func BenchmarkCount(b *testing.B) {
	s := New()
	b.Run("New", func(b *testing.B) {
		for b.Loop() {
			New()
		}
	})
	b.Run("stream", func(b *testing.B) {
		r := s.Traffic(nil)
		for b.Loop() {
			r.LogSentMessageStream(1000, "/ibgib/sync/1", "")
		}
	})
	b.Run("progress", func(b *testing.B) {
		m, n := s.Meter(), uint64(0)
		for b.Loop() {
			n++
			m.Moved(saga.Totals{IbGibs: n, Bytes: n}, saga.Totals{IbGibs: n, Bytes: n})
		}
	})
}
