package node_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// loopbackBytes returns how many bytes have gone over the loopback interface of this
// network namespace, of whatever process.
func loopbackBytes(tb testing.TB) (received uint64) {
	tb.Helper()
	text, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "lo:"); ok {
			if _, err := fmt.Sscan(rest, &received); err != nil {
				tb.Fatal(err)
			}
			return received
		}
	}
	tb.Fatal("there is no loopback interface")
	return 0
}
