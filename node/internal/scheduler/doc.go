// Package scheduler decides when a node syncs, with whom and about what.
//
// Core is pure: Step takes what happened and when (a peer connected, heads moved
// here, a peer named heads, a saga ended), Work hands out what is to be done now
// (begin a saga, send a notice), Next says when to step again at the latest. It
// starts nothing and reads neither clock nor store; chance comes as a parameter.
// So the same events give the same work, and tests run it in virtual time.
//
// The rules:
//
//   - A peer that connects, or is trusted from now on, gets a saga about
//     everything, and another one now and then. Who dialled goes first. Such sagas come
//     one after the other, but those that others begin hold up this node's own ones for a
//     bounded time only.
//   - What changes here is told to every other peer that is connected: a notice of
//     timelines. It goes to nobody from whom it came. A few peers are told at once; of
//     many, those of the fan, and the others later, for which it is news if they have
//     nobody else to tell them: then they belong to the fan. So a change spreads like a
//     tree, along nodes that have it, and no node syncs with all others for it.
//   - What a peer names and this node lacks is fetched from it by a saga about just
//     those timelines, unless one with another peer brings them already; that is
//     waited for some seconds only.
//   - Beside a saga or a notice that is under way with a peer nothing else begins
//     with it: changes gather. The more of them, the longer the next notice waits, up
//     to a second, so a burst ends in few sagas.
//   - What fails is tried again after a while, which depends on the failure and
//     doubles. A peer that does not trust this node is left alone until it shows that
//     it does.
//
// Everything that is remembered of a peer has a bound; beyond it a saga about
// everything stands in.
//
// Caller: node, which runs the Core in a goroutine of its own.
package scheduler
