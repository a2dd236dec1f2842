package saga

import (
	"fmt"
	"slices"
	"strings"
)

// Mode says in which direction payload may travel, seen from the initiator.
type Mode uint8

// The modes.
const (
	ModeSync Mode = iota // both ways
	ModePull             // to the initiator only
	ModePush             // to the responder only
)

// Strategy says what becomes of diverged timelines. A greater value is
// stricter; the stricter of both sides rules the saga.
type Strategy uint8

// The strategies.
const (
	StrategyOptimistic Strategy = iota
	StrategyManual
	StrategyAbort
)

// modeNames and strategyNames are the stable names, by value.
func modeNames() []string     { return []string{"sync", "pull", "push"} }
func strategyNames() []string { return []string{"optimistic", "manual", "abort"} }

// String returns the stable name of the mode.
func (m Mode) String() string { return nameOf("mode", modeNames(), uint8(m)) }

// MarshalText writes the name.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the name.
func (m *Mode) UnmarshalText(text []byte) error {
	n, err := byName("mode", modeNames(), string(text))
	*m = Mode(n)
	return err
}

// String returns the stable name of the strategy.
func (s Strategy) String() string { return nameOf("strategy", strategyNames(), uint8(s)) }

// MarshalText writes the name.
func (s Strategy) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *Strategy) UnmarshalText(text []byte) error {
	n, err := byName("strategy", strategyNames(), string(text))
	*s = Strategy(n)
	return err
}

func nameOf(what string, names []string, n uint8) string {
	if int(n) < len(names) {
		return names[n]
	}
	return fmt.Sprintf("%s(%d)", what, n)
}

func byName(what string, names []string, name string) (uint8, error) {
	n := slices.Index(names, name)
	if n < 0 {
		return 0, fmt.Errorf("saga: %q is no %s: it is one of %s", name, what, strings.Join(names, ", "))
	}
	return uint8(n), nil
}
