// Package pb is what protoc makes of protocol/sync.proto. Only tests of package protocol
// use it: they hold the codec, which is written by hand, against it.
package pb
