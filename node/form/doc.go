// Package form reads and writes files of ibGibs in the forms in which people and other
// programs have them: NDJSON, a JSON array, a JSON map from address to ibGib, and the raw
// export of the TypeScript apps.
//
// Open recognises the form, its Reader gives one Item after the other, whose Gate is the
// gate of package ibgib. Writer brings NDJSON into another form. Both stream: memory does
// not grow with the file. What is wrong with a file is a refusal with a line, or a typed
// error; nothing here stores anything.
//
// Callers: node (import, keystone files) and cmd/ibgib-node (export, gib).
package form
