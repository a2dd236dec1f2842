// A peer of /ibgib/sync/1 on js-libp2p: it dials, and it answers whoever opens a
// stream (protocol/SPEC.md, "Transport", "A keystone", "A notice" and "Trust").
import './node20.js'
import { createPrivateKey } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { answerFetch, fetchClosure } from './fetch.js'
import { Keystone, PRIMARY } from './keystone.js'
import { answerMeeting, meet } from './meeting.js'
import { Saga } from './saga.js'
import { Relation } from './session.js'
import { Transcript } from './transcript.js'
import { Conn, Problem } from './wire.js'

export const PROTOCOL = '/ibgib/sync/1'
export const FETCH = '/ibgib/fetch/1'
const DHT = '/ibgib/kad/1.0.0' // of ibGib nodes; the public one is /ipfs/kad/1.0.0

export class Peer {
  trusted = new Map() // peer id as text -> Relation
  shares = new Map() // id -> {store, members}: named shares; members are peer ids as text
  forgotten = new Map() // peer id and share -> roots that the other side has forgotten
  shown = new Set() // roots of timelines that are public
  sagas = [] // those that others began
  failures = [] // of streams that others opened

  /** start listens on loopback, with what is in store. */
  static async start(store, { meshSecret, mdnsService } = {}) {
    const peer = new Peer()
    peer.store = store
    peer.meshSecret = meshSecret
    const privateKey = await generateKeyPair('Ed25519')
    peer.key = nodeKey(privateKey)
    peer.keystone = Keystone.begin(PRIMARY, peer.key)
    peer.libp2p = await createLibp2p({
      privateKey,
      addresses: { listen: [mdnsService ? '/ip4/0.0.0.0/tcp/0' : '/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionGater: { denyDialMultiaddr: () => false }, // loopback too
      peerDiscovery: mdnsService ? [mdns({ serviceTag: mdnsService, interval: 1000 })] : [],
      services: {
        identify: identify(),
        ping: ping(),
        // Unlike in the public DHT, private addresses count here.
        dht: kadDHT({ protocol: DHT, clientMode: true, peerInfoMapper: passthroughMapper })
      }
    })
    const serve = (protocol, answer, maxInboundStreams) => peer.libp2p.handle(protocol, (stream, connection) =>
      answer(new Conn(stream, connection.id), connection.remotePeer), { maxInboundStreams })
    await serve(PROTOCOL, (conn, from) => peer.answer(conn, from), 64)
    await serve(FETCH, (conn) => peer.show(conn), 8)
    return peer
  }

  stop() {
    return this.libp2p.stop()
  }

  get id() {
    return this.libp2p.peerId
  }

  /** trust lets this peer and another one sync, if the other one does the same. */
  trust(id) {
    const other = id.toString()
    if (this.trusted.has(other)) return
    const { keystone: primary, key } = this
    this.trusted.set(other, new Relation({ primary, key, self: this.id.toString(), other, otherKey: id.publicKey.raw }))
  }

  /** open opens a stream to a peer. */
  async open(to, protocol = PROTOCOL) {
    const signal = AbortSignal.timeout(30_000)
    const connection = await this.libp2p.dial(to, { signal })
    return new Conn(await connection.newStream(protocol, { signal }), connection.id)
  }

  /**
   * meet introduces this peer to another one. With the secret of an invite or of the mesh
   * it proves that, and trusts who does the same; with one that it trusts already it
   * exchanges proofs of their sessions.
   */
  async meet(to, { inviteSecret, meshSecret = this.meshSecret } = {}) {
    const met = await this.within(await this.open(to), (conn) =>
      meet(conn, { ...this.introduction(to), meshSecret, inviteSecret }))
    if (met.proven) this.trust(to)
    return met
  }

  introduction(other) {
    return { self: binary(this.id), other: binary(other), genesis: this.keystone.genesis, relation: this.trusted.get(other.toString()) }
  }

  /** askKeystone asks a peer for the frames of a keystone, and checks them. */
  async askKeystone(to, genesis) {
    const frames = []
    for (let known; ;) {
      const { message } = await this.within(await this.open(to), async (conn) => {
        await conn.send({ kind: 'keystoneFrames', genesis, known })
        const reply = await conn.receive()
        await conn.close()
        return reply ?? {}
      })
      if (message?.kind !== 'keystoneFrames' || !message.reply || message.genesis !== genesis) {
        throw new Problem('protocol', 'no answer about this keystone')
      }
      frames.push(...message.frames)
      const keystone = Keystone.read(frames)
      if (keystone.genesis !== genesis) throw new Problem('protocol', 'another keystone')
      if (!message.more) return keystone
      known = keystone.newest.gib.slice(0, 64)
    }
  }

  /** sync runs a saga as its initiator, and returns it. */
  async sync(to, options = {}) {
    const key = `${to} ${options.share ?? ''}`
    const store = options.store ?? this.storeOf(options.share, to)
    const saga = new Saga(store, { role: 'I', without: this.forgotten.get(key), ...options })
    await this.within(await this.open(to), (conn) => this.run(conn, saga, to), () => saga.id)
    if (saga.scope.length === 0) this.forgotten.set(key, [...saga.forgotten])
    return saga
  }

  // storeOf is what this peer has of a share that another one is a member of.
  storeOf(share, other) {
    if (!share) return this.store
    const { store, members } = this.shares.get(share) ?? {}
    if (!members?.has(other.toString())) throw new Problem('refused', 'there is no such share with you')
    return store
  }

  // run drives a saga to its end. What it sends goes out while it reads: two sides
  // that both write first would wait for each other for ever.
  async run(conn, saga, other, first) {
    const relation = this.trusted.get(other.toString())
    const ends = [[this.id, relation?.session.genesis], [other, relation?.theirSession?.genesis]]
    if (saga.role === 'R') ends.reverse()
    const transcript = new Transcript(ends.map(([id]) => id), ends.map(([, session]) => session))
    let sending = Promise.resolve()
    let failure
    const send = (messages) => {
      for (const message of messages) {
        sending = sending
          .then(async () => transcript.add(saga.role, message, await conn.send(message)))
          .catch((err) => { failure ??= err })
      }
    }
    const take = ({ message, bytes }) => {
      transcript.add(saga.role === 'I' ? 'R' : 'I', message, bytes)
      send(saga.receive(message))
    }
    if (first) take(first)
    else send(saga.start())
    while (!saga.finished) {
      const next = await conn.receive()
      if (!next) throw failure ?? new Problem('unreachable', 'the stream ended within the saga')
      take(next)
    }
    await sending
    if (failure) throw failure
    saga.transcript = transcript
    if (saga.seals && saga.hasMoved) await this.seal(conn, saga, relation)
    await conn.close()
    await conn.end()
    return saga
  }

  // seal exchanges signatures over the transcript. What a saga has done does not depend on them.
  async seal(conn, saga, relation) {
    const last = saga.transcript.frames().at(-1)
    await conn.send(relation.seal(saga.id, last))
    const { message } = (await conn.receive()) ?? {}
    if (message?.kind !== 'seal') throw new Problem('protocol', 'no seal')
    try {
      relation.takeSeal(message, last)
      saga.isSealed = true
    } catch {
      saga.isSealed = false
    }
  }

  /** fetch gets what an address names, and all that it links to, from a peer that need not be trusted. */
  async fetch(to, addr, store = this.store) {
    return this.within(await this.open(to, FETCH), (conn) => fetchClosure(conn, addr, store))
  }

  // show serves a stream on which somebody fetches.
  async show(conn) {
    await this.within(conn, async () => {
      const first = await conn.receive()
      if (first) await answerFetch(conn, first.message, this.store, (root) => this.shown.has(root))
    }).catch((err) => {
      if (err.code !== 'unreachable') this.failures.push(err) // who has all it wanted may reset the stream
    })
  }

  // answer serves a stream that another peer has opened.
  async answer(conn, from) {
    let sagaId
    await this.within(conn, async () => {
      const first = await conn.receive()
      if (!first) return
      const { message } = first
      if (message.kind === 'hello') {
        const { proven } = await answerMeeting(conn, message, { ...this.introduction(from), meshSecret: this.meshSecret })
        if (proven) this.trust(from)
        return
      }
      if (!this.trusted.has(from.toString())) throw new Problem('untrusted', 'this peer does not trust you')
      switch (message.kind) {
        case 'init': {
          if (!this.trusted.get(from.toString()).proved.has(conn.connection)) {
            throw new Problem('untrusted', 'no session was proved on this connection', { reason: 'unknown', retry: true })
          }
          sagaId = message.sagaId
          const ids = message.scope?.shareIds ?? []
          if (ids.length > 1) throw new Problem('unsupported', 'several shares')
          const saga = new Saga(this.storeOf(ids[0], from), { role: 'R' })
          await this.run(conn, saga, from, first)
          this.sagas.push(saga)
          return
        }
        case 'keystoneFrames': {
          const own = [this.keystone, this.trusted.get(from.toString()).session].find(({ genesis }) => genesis === message.genesis)
          const frames = own?.stored(message.known) ?? []
          const known = own?.newest.gib.slice(0, 64)
          await conn.send({ kind: 'keystoneFrames', genesis: message.genesis, known, reply: true, frames })
          return conn.close()
        }
        case 'notice':
          return conn.close() // taken; this peer syncs when it is told to
        default:
          throw new Problem('protocol', `a stream that begins with ${message.kind}`)
      }
    }, () => sagaId).catch((err) => this.failures.push(err))
  }

  // within runs something on a stream; when it fails the other side is told so.
  async within(conn, run, sagaId = () => undefined) {
    try {
      return await run(conn)
    } catch (err) {
      await conn.fail(err instanceof Problem ? err : new Problem('internal', err.message), sagaId())
      throw err
    }
  }
}

// binary is the binary form of a peer id.
function binary(id) {
  return id.toMultihash().bytes
}

// nodeKey is a key of libp2p as Node.js has it: 32 bytes of seed, then 32 of the public key.
function nodeKey({ raw }) {
  const [d, x] = [raw.subarray(0, 32), raw.subarray(32)].map((part) => Buffer.from(part).toString('base64url'))
  return createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d, x }, format: 'jwk' })
}
