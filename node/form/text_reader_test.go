package form

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// Whatever the file is, its reader ends, finds the same items however the text
// arrives, and gives no text that is not in the file.
func FuzzItems(f *testing.F) {
	for _, s := range []string{
		"", "{}", "[1,{},[]]", `{"a^gib":{"ib":"a"},"b^gib":null}`, "{\"ib\":\"a\"}\n{\"ib\":\"b\"}", "{\n\"ib\":\"a\"}",
		`{"ib":"x","data":{"contextIbGibAddr":"a^gib","dependencyGraphAsString":"{\"a^gib\":{\"ib\":\"a\"}}"}}`,
		`{"data":{"dependencyGraphAsString":"H4sIAAAAAAAA/6quBQQAAP//Q7+mowIAAAA="}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		whole := collect(t, bytes.NewReader(file))
		parts := collect(t, iotest.OneByteReader(bytes.NewReader(file)))
		if len(whole) != len(parts) {
			t.Fatalf("%d items, read byte by byte %d", len(whole), len(parts))
		}
		for i := range whole {
			if !bytes.Equal(whole[i].Text, parts[i].Text) || whole[i].Line != parts[i].Line {
				t.Fatalf("item %d is %q in line %d, read byte by byte %q in line %d", i, whole[i].Text, whole[i].Line, parts[i].Text, parts[i].Line)
			}
		}
	})
}

func collect(t *testing.T, r io.Reader) []Item {
	in, err := Open(r)
	if errors.Is(err, ErrFormat) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var list []Item
	for {
		i, err := in.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		i.Gate()
		list = append(list, i)
	}
}
