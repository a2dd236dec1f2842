package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable returns text that others wrote in a form that does nothing to a
// terminal and shows everything: control characters, ANSI sequences, characters
// that turn the direction of text, and invisible ones are written as escapes.
// What is left unchanged can be copied.
func printable(s string) string {
	if !strings.ContainsFunc(s, unsafeRune) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unsafeRune(r):
			writeEscape(&b, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// unsafeRune reports whether a rune must not reach a terminal as it is.
// U+FFFD is among them because it also stands for invalid UTF-8.
func unsafeRune(r rune) bool { return r == utf8.RuneError || !unicode.IsGraphic(r) }

// writeEscape writes a rune as JSON would.
func writeEscape(b *strings.Builder, r rune) {
	switch {
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\t':
		b.WriteString(`\t`)
	case r == '\r':
		b.WriteString(`\r`)
	case r > 0xFFFF:
		r -= 0x10000
		fmt.Fprintf(b, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
	default:
		fmt.Fprintf(b, `\u%04x`, r)
	}
}

// printableJSON returns valid JSON text of the same value in which no character
// needs care on a terminal. Outside of strings JSON has none of them but white
// space, which is kept.
func printableJSON(text []byte) []byte {
	unsafe := func(r rune) bool { return unsafeRune(r) && r != '\n' && r != '\t' && r != '\r' }
	s := string(text)
	if !strings.ContainsFunc(s, unsafe) {
		return text
	}
	var b strings.Builder
	for _, r := range s {
		if unsafe(r) {
			writeEscape(&b, r)
		} else {
			b.WriteRune(r)
		}
	}
	return []byte(b.String())
}

// toJSON returns v as one line of JSON that is safe on a terminal.
func toJSON(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return printableJSON([]byte(b.String())), nil
}

// jsonEscaper is a writer of JSON text that makes it safe on a terminal. It
// holds back a character that is not complete yet, so the text must end with
// ASCII.
type jsonEscaper struct {
	w    io.Writer
	rest []byte
}

func (e *jsonEscaper) Write(p []byte) (int, error) {
	text := append(e.rest, p...)
	whole := len(text)
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if utf8.RuneStart(text[len(text)-back]) {
			if !utf8.FullRune(text[len(text)-back:]) {
				whole = len(text) - back
			}
			break
		}
	}
	e.rest = append([]byte(nil), text[whole:]...)
	if _, err := e.w.Write(printableJSON(text[:whole])); err != nil {
		return 0, err
	}
	return len(p), nil
}

// safeOut returns standard output for JSON text that others wrote: as it is in
// a pipe or a file, escaped on a terminal.
func (c *cli) safeOut() io.Writer {
	if isTerminal(c.out) {
		return &jsonEscaper{w: c.out}
	}
	return c.out
}
