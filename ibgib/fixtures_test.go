package ibgib_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/ibgib/ibgib-node/ibgib"
)

func fromBase64(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func addr(t testing.TB, s string) ibgib.Addr {
	t.Helper()
	a, err := ibgib.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// nested is a JSON text of that many levels: arrays around a number.
func nested(levels int) string {
	return strings.Repeat("[", levels-1) + "1" + strings.Repeat("]", levels-1)
}
