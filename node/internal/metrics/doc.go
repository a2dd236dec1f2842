// Package metrics counts what a node does, for Prometheus.
//
// Each node has counters of its own and a registry of its own, so that several nodes in
// one process do not mix. Counters are added to where a thing happens, by an atomic
// operation and without a lock; labels have few values, all from sets that are closed
// here: never what a peer or a person has named.
//
// What is read only when somebody asks, such as how many peers are connected, is the
// business of package node, and HTTP that of package node/api. libp2p has metrics too, which
// this leaves alone: they are one for a process, and most of 500 series that say nothing to
// the owner of a node. Resources and Traffic give those of one host.
package metrics
