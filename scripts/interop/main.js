// Talks to a running node, as a foreign peer: what SPEC.md says, in the order in which
// two strangers come to be in step.
//
//   node main.js PROGRAM DATA ADDRESS
//
// PROGRAM is ibgib-node, DATA the data directory of a node that runs, is a DHT server
// and begins no syncs by itself (--dht server --no-live), ADDRESS its multiaddr.
import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { check, summary, until } from './checks.js'
import { command } from './command.js'
import { addrOf, decode, encode, gibOf, make, parse } from './gib.js'
import { readInvite } from './meeting.js'
import { Peer, PROTOCOL } from './peer.js'
import { Store } from './store.js'
import { begin, change } from './timeline.js'

const [program, data, address] = process.argv.slice(2)
const node = command(program, data)

/** timelines are the heads of the node in the default share: {first frame's hash: [hashes of heads]}. */
async function timelines() {
  const hash = (addr) => parse(addr).hash
  const all = await node.json('heads')
  return Object.fromEntries(all.filter(({ share }) => !share).map(({ tjp, heads }) => [hash(tjp), heads.map(hash).sort()]))
}

/** same checks that the node and a store here have the same heads, and that every ibGib here is what its gib says. */
async function same(store) {
  assert.deepEqual(Object.fromEntries(store.map().map(({ root, heads }) => [root, heads])), await timelines())
  for (const { ibGib } of store.blocks.values()) assert.equal(gibOf(ibGib), ibGib.gib)
}

const moved = ({ sending: { sent }, receiving: { received } }) =>
  `sent ${sent.ibGibs} ibGibs, ${sent.bytes} bytes; received ${received.ibGibs}, ${received.bytes}`

const fails = (code, reason) => (err) => err.remote && err.code === code && err.reason === reason

const store = new Store()
const peer = await Peer.start(store)
const ours = peer.id.toString()
const way = multiaddr(address)
const other = peerIdFromString(address.split('/p2p/')[1])
console.log(`js-libp2p ${ours}\ngo-libp2p ${other}\n`)

const note = await node('new', 'note', '--set', '{"text":"written by the Go node"}')
await node('mut8', note, '--set', '{"text":"and changed"}')
const hidden = await node('new', 'note', '--set', '{"text":"for nobody"}')

await check('the node is dialled and identified', async () => {
  const identified = new Promise((resolve) => peer.libp2p.addEventListener('peer:identify', (e) => resolve(e.detail)))
  await peer.libp2p.dial(way)
  const { protocols, agentVersion } = await identified
  for (const protocol of [PROTOCOL, '/ibgib/kad/1.0.0']) assert(protocols.includes(protocol), `${protocol} is not among ${protocols}`)
  return agentVersion
})

await check('a provider is found through its DHT', async () => {
  await node('provide', note)
  const tjp = parse(note).tjpGib
  const cid = CID.createV1(0x55, Digest.create(0x12, Buffer.from(tjp, 'hex')))
  await until('the node announces its timeline', async () => {
    for await (const found of peer.libp2p.contentRouting.findProviders(cid, { signal: AbortSignal.timeout(30_000) })) {
      if (found.id.equals(other)) return true
    }
    return false
  })
  return cid.toString()
})

await check('a stranger learns nothing but that it is one', () => assert.rejects(peer.sync(other), fails('untrusted')))

await check('a stranger gets what is public by its exact address, and nothing else', async () => {
  const got = new Store()
  const count = await peer.fetch(other, note, got)
  assert.deepEqual(got.entries.get(parse(note).tjpGib), [parse(note).hash])
  await assert.rejects(peer.fetch(other, hidden, new Store()), { code: 'refused', remote: false })
  return `${count} ibGibs`
})

await check('strangers meet, and name their keystones', async () => {
  const { genesis } = await peer.meet(other)
  assert.equal(genesis, (await node.json('keystone', 'show')).genesis)
})

await check('the owner of the node trusts this peer', async () => {
  peer.trust(other)
  await node('trust', ours)
  const { trusted, connected } = (await node.json('peers')).find(({ peerId }) => peerId === ours)
  assert.deepEqual({ trusted, connected }, { trusted: true, connected: true })
})

await check('without a session nothing is synced', () => assert.rejects(peer.sync(other), fails('untrusted', 'unknown')))

await check('both prove a session, by keystones that both have checked', async () => {
  const { session } = await peer.meet(other)
  assert(session)
  const known = (await node.json('keystone', 'list')).find(({ genesis }) => genesis === peer.keystone.genesis)
  assert.deepEqual([known?.status, known?.frames], ['valid', peer.keystone.frames.length])
})

await check('a second meeting on the same connection signs nothing', async () => {
  const before = peer.trusted.get(other.toString()).session.frames.length
  assert((await peer.meet(other)).session)
  assert.equal(peer.trusted.get(other.toString()).session.frames.length, before)
})

await check('this peer fetches and checks the keystone of the node', async () => {
  const { genesis } = await node.json('keystone', 'show')
  const keystone = await peer.askKeystone(other, genesis)
  return `${keystone.frames.length} frames`
})

let first
await check('a saga: both have what the other lacks', async () => {
  first = begin(store, 'diary', { text: 'written by a program in JavaScript' })
  const second = change(store, first, { text: 'two', numbers: [0.1, 1e21, -0], nested: { b: 1, a: [{ z: 1, a: 2 }] } })
  change(store, second, { text: 'three \u{1F600}' })
  const stone = make('picture', new Uint8Array(3 << 20).fill(7), { ancestor: ['picture^gib'] })
  store.add(encode(stone))
  store.put(make('album', { isTjp: true, n: 0 }, { ancestor: ['album^gib'], picture: [addrOf(stone)] }))
  const saga = await peer.sync(other)
  assert(saga.converged)
  assert.equal(saga.result.digest, saga.peerResult.digest)
  assert(saga.isSealed)
  assert(saga.receiving.received.ibGibs > 0 && saga.sending.sent.ibGibs > 0)
  await same(store)
  return moved(saga)
})

await check('a saga between equal sides: two messages', async () => {
  const saga = await peer.sync(other)
  assert(saga.isEqual)
  const [init, ack, ...more] = [...saga.transcript.stages.values()].map((digests) => digests.length)
  assert.deepEqual([init, ack, ...more], [1, 1, 0, 0, 0, 0])
})

await check('a timeline that both have changed: both keep both branches', async () => {
  const root = parse(addrOf(first)).hash
  change(store, store.blocks.get(store.entries.get(root)[0]).ibGib, { text: 'four, here' })
  await node('mut8', addrOf(first), '--set', '{"text":"four, there"}')
  const saga = await peer.sync(other)
  assert(saga.converged)
  assert.equal(store.entries.get(root).length, 2)
  assert.deepEqual(saga.peerResult.conflicts, [root])
  await same(store)
})

await check('a change on top of the merge that the node has computed', async () => {
  const root = parse(addrOf(first)).hash
  const [frame] = store.entries.get(root)
  change(store, store.blocks.get(frame).ibGib, { text: 'five, here' })
  assert((await peer.sync(other)).converged)
  await node('mut8', addrOf(first), '--set', '{"text":"six, on the merge"}')
  assert((await peer.sync(other)).converged)
  assert.equal(store.entries.get(root).length, 1)
  await same(store)
})

await check('many timelines: the maps travel in pages', async () => {
  for (let i = 0; i < 2500; i++) begin(store, 'count', { number: i })
  const saga = await peer.sync(other)
  assert(saga.converged)
  await same(store)
  return moved(saga)
})

await check('the node begins the saga', async () => {
  await node('new', 'note', '--set', '{"text":"another"}')
  begin(store, 'count', { number: -1 })
  const [listening] = peer.libp2p.getMultiaddrs()
  await node('sync', listening.toString())
  await until('the saga has ended here too', () => peer.sagas.length > 0)
  const [saga] = peer.sagas
  assert(saga.converged)
  assert(saga.receiving.received.ibGibs > 0 && saga.sending.sent.ibGibs > 0)
  await same(store)
})

await check('one way: pull and push', async () => {
  await node('new', 'note', '--set', '{"text":"pulled"}')
  const mine = begin(store, 'count', { number: -2 })
  const pulled = await peer.sync(other, { mode: 'pull' })
  assert.deepEqual([pulled.converged, pulled.sending.sent.ibGibs], [true, 0])
  await node('new', 'note', '--set', '{"text":"not pushed"}')
  const pushed = await peer.sync(other, { mode: 'push' })
  assert.deepEqual([pushed.converged, pushed.receiving.received.ibGibs], [true, 0])
  await node('get', addrOf(mine))
  assert((await peer.sync(other)).converged)
  await same(store)
})

await check('about one timeline', async () => {
  const mine = begin(store, 'count', { number: -4 })
  begin(store, 'count', { number: -5 })
  const { hash } = parse(addrOf(mine))
  const saga = await peer.sync(other, { scope: [hash] })
  assert.deepEqual([saga.converged, saga.sending.sent.ibGibs, saga.result.count], [true, 1, 1])
  assert((await peer.sync(other)).converged)
  await same(store)
})

await check('what the node has forgotten', async () => {
  const page = begin(store, 'page', { text: 'of no interest' })
  assert((await peer.sync(other)).converged)
  await node('forget', addrOf(page))
  assert((await peer.sync(other)).converged)
  assert((await peer.sync(other)).isEqual)
  await node('forget', '--undo', addrOf(page))
  assert((await peer.sync(other)).converged)
  await same(store)
})

await check('a named share: to its members, and nothing of it to others', async () => {
  const { id } = await node.json('share', 'create', 'family', '--member', ours)
  const { addr } = await node.json('new', 'diary', '--share', 'family')
  peer.shares.set(id, { store: new Store(), members: new Set([other.toString()]) })
  const family = peer.shares.get(id).store
  begin(family, 'letter')
  assert((await peer.sync(other)).isEqual)
  assert((await peer.sync(other, { share: id })).converged)
  assert.equal(family.entries.size, 2)
  assert(family.has(parse(addr).hash) && !store.has(parse(addr).hash))
  await assert.rejects(peer.sync(other, { share: '0'.repeat(32), store: new Store() }), fails('refused'))
  begin(family, 'letter', { number: 2 })
  const [listening] = peer.libp2p.getMultiaddrs()
  await node('sync', listening.toString())
  await until('the saga about the share has ended', () => peer.sagas.some((saga) => saga.store === family && saga.converged))
})

await check('the node computes the same transcript, and both have signed it', async () => {
  begin(store, 'count', { number: -3 })
  const saga = await peer.sync(other)
  const { frames } = (await node.json('sagas', 'show', saga.id.toLowerCase())).details
  const ours = saga.transcript.frames().filter(({ ib }) => ib.startsWith('sync ')).map(addrOf)
  assert.deepEqual(frames.filter(({ stage }) => stage !== 'record').map(({ addr }) => addr), ours)
  assert(saga.isSealed)
  await node('sagas', 'show', saga.id.toLowerCase(), '--verify') // fails if something is wrong or lacking
})

// Bad luck.

class Forger extends Store {
  forged = new Map() // hash -> bytes
  bytes(hash) {
    return this.forged.get(hash) ?? super.bytes(hash)
  }
}

function forger(count) {
  const forged = new Forger()
  for (let i = 0; i < count; i++) {
    const frame = begin(forged, 'forged', { text: `true ${i} ${Math.random()}` })
    const bytes = Buffer.from(encode(frame).toString().replace('true ', 'lie '))
    assert.throws(() => decode(bytes), { rule: 'gib' })
    forged.forged.set(parse(addrOf(frame)).hash, bytes)
  }
  return forged
}

await check('a forged ibGib is refused by name, and nothing of it is kept', async () => {
  const forged = forger(1)
  const [[hash]] = forged.forged
  const saga = await peer.sync(other, { store: forged, mode: 'push' })
  assert.equal(saga.converged, false)
  assert.equal(saga.peerResult.refusals.length, 1)
  const [refusal] = saga.peerResult.refusals
  assert.equal(refusal.hash, hash)
  assert.equal((await timelines())[hash], undefined)
  return `${refusal.rule}: ${refusal.detail}`
})

await check('too many forged ibGibs end the saga', () =>
  assert.rejects(peer.sync(other, { store: forger(65), mode: 'push' }), fails('refused')))

await check('a message out of place ends the saga', async () => {
  await assert.rejects(peer.within(await peer.open(other), async (conn) => {
    await conn.send({ kind: 'delta', sagaId: '11'.repeat(32), done: true })
    await conn.receive()
  }), fails('protocol'))
})

const guestStore = new Store()
const guest = await Peer.start(guestStore)

await check('the node fetches from this peer, and takes nothing that is not what it asked for', async () => {
  const [listening] = peer.libp2p.getMultiaddrs()
  const frames = ['shown', 'forged'].map((text) => begin(store, 'page', { text }))
  frames.forEach((frame) => peer.shown.add(parse(addrOf(frame)).hash))
  const [shown, forged] = frames.map((frame) => change(store, frame, { big: 'x'.repeat(2 << 20) }))
  await node('fetch', addrOf(shown), '--from', listening.toString())
  assert.deepEqual((await timelines())[parse(addrOf(frames[0])).hash], [parse(addrOf(shown)).hash])
  store.bytes = (hash) => Buffer.from(Store.prototype.bytes.call(store, hash).toString().replace('"forged"', '"FORGED"'))
  await assert.rejects(node('fetch', addrOf(forged), '--from', listening.toString()))
  delete store.bytes
  assert.equal((await timelines())[parse(addrOf(frames[1])).hash], undefined)
})

await check('an invite makes a new peer trusted', async () => {
  const invite = readInvite((await node.json('invite')).invite)
  await guest.libp2p.dial(invite.addrs.map((a) => multiaddr(`${a}/p2p/${invite.peer}`)))
  const { genesis, proven } = await guest.meet(other, { inviteSecret: invite.secret })
  assert.deepEqual([genesis, proven], [invite.keystone, true])
})

await check('a session that has not signed the meeting is refused', async () => {
  const { taken } = guest.trusted.get(other.toString())
  const [{ id }] = guest.libp2p.getConnections(other)
  taken.add(id) // as if it had been taken on this connection before
  await assert.rejects(guest.meet(other), fails('untrusted', 'bad-proof'))
  taken.delete(id)
})

await check('a peer that has nothing is sent everything, without offers', async () => {
  assert((await guest.meet(other)).session)
  const saga = await guest.sync(other)
  assert(saga.converged)
  await same(guestStore)
  return moved(saga)
})

await check('who is trusted no longer is a stranger again', async () => {
  await node('untrust', ours)
  await peer.libp2p.dial(way)
  await assert.rejects(peer.sync(other), fails('untrusted'))
})

await check('no stream that the node opened went wrong', () => assert.deepEqual([...peer.failures, ...guest.failures], []))

await Promise.all([peer.stop(), guest.stop()])
summary()
