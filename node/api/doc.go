// Package api is the control API of a node: HTTP and JSON under /api/v1, on a
// unix socket or on loopback with a token, and the client for it.
//
// Handler serves a node.Node. Client has one typed method for each endpoint
// and works over any http.RoundTripper: Dial finds the node that runs on a
// data directory, InProcess talks to a Handler without a network. So a command
// is written once, against Client, and works with a running node and without
// one.
//
// Answers are JSON. Long work (import, export, sync, verify, lists) answers
// with a stream of JSON lines, application/x-ndjson: {"item":...} for each item
// of a list, {"progress":{...}} now and then, the ibGibs of an export as they
// are (they begin with {"ib":), and as the last line {"result":{...}} or
// {"error":{"code":"...","message":"..."}}. A stream without a last line of
// these was cut. Any other failure is an HTTP status with
// {"error":{"code":"...","message":"..."}}; codes are in error.go.
//
// GET /events is a stream of server-sent events (events.go). All but the progress of
// sagas have ids, which are places in the change logs and the journal of the store, so a
// client goes on where it was (since=ID or Last-Event-ID), also after a restart.
//
// GET /metrics, here and without the prefix, is for Prometheus, in its text format
// (metrics.go).
//
// openapi.yaml describes all of it; GET /openapi.yaml serves it.
//
// Callers: cmd/ibgib-node.
package api
