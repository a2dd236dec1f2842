package config

import (
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"
	"go.yaml.in/yaml/v3"
)

// Size is a number of bytes, written like 64MiB, 1.5GB or 4096.
type Size uint64

// UnmarshalYAML reads a size.
func (s *Size) UnmarshalYAML(value *yaml.Node) error {
	n, err := humanize.ParseBytes(value.Value)
	if value.Kind != yaml.ScalarNode || err != nil || n > math.MaxInt64 {
		return fmt.Errorf("line %d: %q is no size: write it like 64MiB", value.Line, value.Value)
	}
	*s = Size(n)
	return nil
}

// String returns the size rounded, with a unit.
func (s Size) String() string { return humanize.IBytes(uint64(s)) }

// Duration is a span of time, written like 90s, 5m or 1h30m.
type Duration time.Duration

// UnmarshalYAML reads a duration.
func (d *Duration) UnmarshalYAML(value *yaml.Node) error {
	v, err := time.ParseDuration(value.Value)
	if value.Kind != yaml.ScalarNode || err != nil {
		return fmt.Errorf("line %d: %q is no duration: write it like 90s, 5m or 1h30m", value.Line, value.Value)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the duration as it is read.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }
