package comparison_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/node/internal/comparison"
)

func words(t *testing.T, a, b string) string {
	t.Helper()
	w := comparison.New(peer.ID(a))
	first, err := w.With(peer.ID(b))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := w.With(peer.ID(b)); again != first {
		t.Errorf("words %q, then %q", first, again)
	}
	if n := len(strings.Fields(first)); n != 6 {
		t.Errorf("%d words", n)
	}
	return first
}

func TestWords(t *testing.T) {
	ab := words(t, "a", "b")
	if ba := words(t, "b", "a"); ba != ab {
		t.Errorf("one side sees %q, the other %q", ab, ba)
	}
	seen := map[string]string{ab: "a b"}
	for _, pair := range [][2]string{{"a", "c"}, {"b", "c"}, {"a", "a"}, {"ab", ""}, {"", "ab"}} {
		w := words(t, pair[0], pair[1])
		name := fmt.Sprint(pair)
		if other, ok := seen[w]; ok && name != "[ ab]" {
			t.Errorf("%s has the words of %s", name, other)
		}
		seen[w] = name
	}
}

// The words are part of the protocol: both owners' programs must show the same.
// The ones here were made by another program from the text of SPEC.md.
func TestKnownWords(t *testing.T) {
	a, err := peer.Decode("12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5")
	if err != nil {
		t.Fatal(err)
	}
	b, err := peer.Decode("12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq")
	if err != nil {
		t.Fatal(err)
	}
	const want = "hunt south ivory direct poverty hen"
	if got := words(t, string(a), string(b)); got != want {
		t.Errorf("words %q, want %q", got, want)
	}
}

func BenchmarkWords(b *testing.B) {
	for i := 0; b.Loop(); i++ {
		if _, err := comparison.New("a").With(peer.ID(fmt.Sprint(i))); err != nil {
			b.Fatal(err)
		}
	}
}
