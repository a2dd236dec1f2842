// Package jsjson reads and writes JSON the way a JavaScript engine does, for
// text whose SHA-256 is an identity.
//
// Canonical text is what JSON.stringify prints for a normalised value:
//
//   - no white space;
//   - members of an object sorted: canonical array indices first, in numeric
//     order, then the other names by UTF-16 code units; but below an array
//     (order KeepOrder) the names that are not indices stay as they were written;
//   - numbers as ECMAScript prints a float64, -0 as 0;
//   - strings with the escapes of JSON.stringify and no others, lone surrogates
//     as \udxxx.
//
// [Canonical] reads any JSON text and writes the canonical form. [Scanner]
// accepts text only if it is in that form already, without allocating.
// The functions that take canonical text ([Skip], [Members], [Unquote]...)
// trust it: on other input they answer nonsense but neither panic nor loop.
//
// Strings in memory are WTF-8: UTF-8 in which a lone surrogate is the
// three-byte sequence that generalised UTF-8 gives it.
//
// Three things that JavaScript lets pass are faults here, because the hash
// cannot see them: a repeated member name, the member name __proto__, and a
// number beyond float64.
//
// Only package ibgib uses this one.
package jsjson
