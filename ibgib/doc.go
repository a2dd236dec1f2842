// Package ibgib is the data model: values, canonical JSON, addresses, gib
// hashing, the gate every foreign ibGib passes, and the transforms that make
// new ibGibs from old ones. What enters a hash is bit-exact with the public
// TypeScript implementation.
//
// # Trust
//
// An [IbGib] is trusted: it can only be made by the gate.
//
//   - [Import] and [Gib] read JSON of any form from files and users and bring
//     it to the canonical form.
//   - [Verify] reads what came over a wire, which must be canonical already.
//   - [New] and [NewBytes] make an ibGib from parts.
//   - [Load] takes back what this node stored itself.
//
// All but Load compute the gib and apply the same rules; what they refuse is a
// [*Refusal] that names the address, the [Rule] and the offending value. The
// limits ([MaxSize] and its neighbours) are protocol constants.
//
// # Stored form
//
// An ibGib is stored and sent as the bytes that [IbGib.Stored] returns; equal
// ibGibs have equal bytes. With JSON data, or none, they are
//
//	{"ib":...,"gib":...,"data":...,"rel8ns":...}
//
// canonical, absent members left out. With a bytes payload they are the byte
// 0xB1, the length of a header as an unsigned varint (minimal), the header
// {"ib":...,"gib":...,"rel8ns":...} in canonical JSON, and the payload.
// 0xB1 can begin neither JSON nor UTF-8 text. In files a bytes payload is the
// member "bytes" in standard base64 ([IbGib.AppendJSON]).
//
// Bytes that are the canonical text of a value hash like that value, so they
// are the ibGib with that value as data, and are kept in that form. Only where
// that form breaks a limit do they stay bytes.
//
// # Identity
//
// The hash part of an address is a SHA-256 of a short text, so an address has
// a [CID] without its content being read.
//
// The package does no I/O and holds no state: no clock, no randomness, no
// goroutines. Values of its types are immutable and safe for concurrent use.
package ibgib
