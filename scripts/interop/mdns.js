// Two machines on one network: this peer and a node find each other by multicast DNS,
// trust each other for the secret of their mesh, and come to be in step, without a
// command on either side.
//
//   node mdns.js PROGRAM DATA SECRET
//
// PROGRAM is ibgib-node, DATA the data directory of a node that runs with --mesh-secret
// SECRET, a file. To be run in a network namespace of its own.
import assert from 'node:assert/strict'
import { hkdfSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { peerIdFromString } from '@libp2p/peer-id'
import { base32 } from 'multiformats/bases/base32'
import { check, summary, until } from './checks.js'
import { command } from './command.js'
import { Peer } from './peer.js'
import { Store } from './store.js'
import { begin } from './timeline.js'

const [program, data, file] = process.argv.slice(2)
const node = command(program, data)
const secret = (await readFile(file, 'latin1')).replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '')

/** serviceName is the name under which the nodes of a mesh announce themselves (SPEC.md, "Finding each other"). */
function serviceName(secret) {
  const derive = (from, info, length) => Buffer.from(hkdfSync('sha256', from, '', info, length))
  const tag = derive(Buffer.from(secret, 'latin1'), 'ibgib mesh secret tag v1', 16).toString('hex')
  const name = derive(tag, 'ibgib mdns name of a mesh secret v1', 8)
  return `_ib-${base32.baseEncode(name).slice(0, 12)}._udp.local`
}

const id = (await node.json('id')).peerId
const store = new Store()
begin(store, 'note', { text: 'written in JavaScript' })
await node('new', 'note', '--set', '{"text":"written by the Go node"}')

const peer = await Peer.start(store, { meshSecret: Buffer.from(secret, 'latin1'), mdnsService: serviceName(secret) })
const discovered = new Promise((resolve) => {
  peer.libp2p.addEventListener('peer:discovery', ({ detail }) => { if (detail.id.toString() === id) resolve(detail) })
})

await check('multicast DNS finds the node', async () => {
  const bound = new Promise((_, reject) => setTimeout(reject, 60_000, new Error('not within a minute')).unref())
  const { multiaddrs } = await Promise.race([discovered, bound])
  return multiaddrs.join(' ')
})

// The other way it does not work: js-libp2p announces neither SRV nor address records,
// and the library of the node passes over an announcement without them.
await check('both prove the secret and trust each other', async () => {
  const { multiaddrs } = await discovered
  await peer.libp2p.dial(multiaddrs)
  const { proven } = await peer.meet(peerIdFromString(id))
  assert(proven)
  assert((await peer.meet(peerIdFromString(id))).session)
  const { trusted, by } = (await node.json('peers')).find(({ peerId }) => peerId === peer.id.toString())
  assert.deepEqual({ trusted, by }, { trusted: true, by: 'mesh' })
})

await check('they come to be in step by themselves', async () => {
  await until('a saga has converged', () => peer.sagas.some((saga) => saga.converged))
  assert.deepEqual([store.entries.size, (await node.json('heads')).length], [2, 2])
})

await peer.stop()
summary()
