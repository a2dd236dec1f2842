// Package secretfile keeps the master secret of a keystone in a file that only
// its owner may read.
//
// The file holds the 64 hex digits of the secret and a line feed; or, with a
// passphrase, an age file with a scrypt recipient that holds the same, so that the
// age program opens it too. Reading finds out which of the two it is.
//
// What is read is wiped from memory as far as Go allows: the age library takes
// the passphrase as a string, which cannot be.
package secretfile
