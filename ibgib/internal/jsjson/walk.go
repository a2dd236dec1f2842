package jsjson

import (
	"bytes"
	"iter"
)

// Skip returns the end of the canonical value that starts at text[i], or
// len(text) if it has no end.
func Skip(text []byte, i int) int {
	if i >= len(text) {
		return len(text)
	}
	switch text[i] {
	case '"':
		return skipString(text, i)
	case '{', '[':
	default:
		for i < len(text) && text[i] != ',' && text[i] != '}' && text[i] != ']' {
			i++
		}
		return i
	}
	depth := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			i = skipString(text, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(text)
}

// skipString returns the end of the string whose opening quote is text[i].
func skipString(text []byte, i int) int {
	i++
	for {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return len(text)
		}
		i += n + 1
		slashes := 0
		for k := i - 2; k >= 0 && text[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
	}
}

// Members yields the members of a canonical object: the body of each name
// (between its quotes) and the text of its value.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		i := 1
		for i < len(object) && object[i] == '"' {
			nameEnd := skipString(object, i)
			start := min(nameEnd+1, len(object))
			end := Skip(object, start)
			if !yield(object[i+1:max(i+1, nameEnd-1)], object[start:end]) {
				return
			}
			i = end + 1
		}
	}
}

// Elements yields the texts of the elements of a canonical array.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func(value []byte) bool) {
		i := 1
		for i < len(array) && array[i] != ']' {
			end := Skip(array, i)
			if end == i || !yield(array[i:end]) {
				return
			}
			i = end + 1
		}
	}
}

// LastString returns the body of the last element of a canonical array of
// strings, nil if it is empty.
func LastString(array []byte) []byte {
	end := len(array) - len(`"]`)
	if end < 1 || array[end] != '"' {
		return nil
	}
	// A quote within a string has a backslash before it, an opening one never.
	from := end
	for {
		from = bytes.LastIndexByte(array[:from], '"')
		if from < 1 {
			return nil
		}
		if array[from-1] != '\\' {
			return array[from+1 : end]
		}
	}
}

// Glimpse yields members of an object in text that may be anything: what
// looks like names and values, with their white space trimmed, as far as it
// goes. It serves to tell a person what broken text is about.
func Glimpse(text []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		i := blankEnd(text, 0)
		if i == len(text) || text[i] != '{' {
			return
		}
		for {
			i = blankEnd(text, i+1)
			if i == len(text) || text[i] != '"' {
				return
			}
			end := skipString(text, i)
			name := Body(text[i:end])
			if i = blankEnd(text, end); i == len(text) || text[i] != ':' {
				return
			}
			i = blankEnd(text, i+1)
			end = Skip(text, i)
			if !yield(name, bytes.TrimRight(text[i:end], " \t\r\n")) {
				return
			}
			if i = blankEnd(text, end); i == len(text) || text[i] != ',' {
				return
			}
		}
	}
}

func blankEnd(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

// Body returns what stands between the quotes of a canonical string, nil if
// text is no string.
func Body(text []byte) []byte {
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return nil
	}
	return text[1 : len(text)-1]
}
