// Sessions: how two peers that trust each other prove, on each connection, that they
// speak for the keystones by which they are trusted (protocol/SPEC.md, "Sessions").
import { addrOf, make, parse } from './gib.js'
import { Keystone, SESSION } from './keystone.js'
import { Problem } from './wire.js'

const LIFE = 30 * 24 * 60 * 60 * 1000 // milliseconds
const MAX_MESSAGES = 4 // of the credentials of a side

/** Relation is what this peer and another one know of each other's keystones. */
export class Relation {
  theirPrimary = undefined // as far as it has been shown
  theirSession = undefined
  proved = new Set() // ids of connections on which the other side has proved itself
  taken = new Set() // ids of connections on which it has taken what this side has shown

  /**
   * primary is the keystone of this side, key the Ed25519 key of its peer id; self and
   * other are the peer ids as text, otherKey the public key of the other one, 32 bytes.
   */
  constructor({ primary, key, self, other, otherKey }) {
    Object.assign(this, { primary, self, other, otherKey: Buffer.from(otherKey).toString('base64url') })
    this.session = Keystone.begin([SESSION], key, { peers: [self, other].sort(), expires: Date.now() + LIFE })
    primary.sign('sync', this.session.genesis)
  }

  /** hello is what the first hello of this side says of sessions. */
  hello() {
    return { session: this.session.genesis, known: newest(this.theirPrimary), sessionKnown: newest(this.theirSession) }
  }

  /** credentials are the messages by which this side proves itself, given the hello of the other one. */
  credentials(hello, nonces, connection) {
    if (!this.taken.has(connection)) this.session.sign('connect', this.stone(nonces))
    const show = (keystone, known) => ({ kind: 'keystoneFrames', genesis: keystone.genesis, reply: true, frames: keystone.stored(known) })
    return [show(this.primary, hello.known), show(this.session, hello.sessionKnown)]
  }

  /**
   * receive reads the credentials of the other side from a meeting and judges them. said
   * is what the hello of this side said, hello that of the other one. Several meetings may go on at once.
   */
  async receive(next, said, hello, nonces, connection) {
    const messages = []
    while (messages.at(-1)?.genesis !== hello.session) {
      const { message } = (await next()) ?? {}
      if (message?.kind !== 'keystoneFrames' || !message.reply || messages.length === MAX_MESSAGES) {
        throw new Problem('protocol', 'no credentials')
      }
      messages.push(message)
    }
    const shown = (genesis) => messages.filter((m) => m.genesis === genesis).flatMap((m) => m.frames)
    try {
      const primary = extended(this.theirPrimary, hello.genesis, shown(hello.genesis), said.known)
      const session = extended(this.theirSession, hello.session, shown(hello.session), said.sessionKnown)
      this.judge(primary, session, nonces, connection)
      this.theirPrimary = primary
      this.theirSession = session
    } catch (err) {
      if (err instanceof Problem) throw err
      throw new Problem('untrusted', err.message, { reason: 'bad-proof' })
    }
    this.proved.add(connection)
  }

  judge(primary, session, nonces, connection) {
    const refuse = (reason, text) => { throw new Problem('untrusted', text, { reason }) }
    const { peers, expires, cosigKeys } = session.frames[0].data.frameDetails
    if (primary.newest.data.revocationInfo || session.newest.data.revocationInfo) refuse('revoked', 'the keystone is revoked')
    if (!primary.frames[0].data.frameDetails?.cosigKeys?.length) refuse('bad-proof', 'the primary is not co-signed')
    if (!primary.claims('sync', session.genesis)) refuse('unknown', 'the primary has not authorised the session')
    if (peers.join() !== [this.self, this.other].sort().join()) refuse('bad-proof', 'a session of other peers')
    if (cosigKeys.join() !== this.otherKey) refuse('bad-proof', 'a session of another key')
    if (!(expires > Date.now())) refuse('expired', 'the session has expired')
    const again = this.proved.has(connection) && session.genesis === this.theirSession?.genesis
    if (!again && !session.claims('connect', this.stone(nonces))) refuse('bad-proof', 'the meeting is not signed')
  }

  // stone is the address of what the sessions sign in a meeting; nonces are {own, other}.
  stone({ own, other }) {
    const ends = [[this.self, own], [this.other, other]].sort(([a], [b]) => (a < b ? -1 : 1))
    const data = { peers: ends.map(([id]) => id), nonces: ends.map(([, nonce]) => nonce.toString('hex')) }
    return addrOf(make('sync_connection', data, { ancestor: ['sync_connection^gib'] }))
  }

  /** seal is the message by which this side vouches for a transcript, given its last frame. */
  seal(sagaId, last) {
    this.session.sign('transcript', addrOf(last))
    return { kind: 'seal', sagaId, frame: this.session.stored().at(-1) }
  }

  /** takeSeal checks the seal of the other side. */
  takeSeal({ frame }, last) {
    const session = extended(this.theirSession, this.theirSession.genesis, [frame], newest(this.theirSession))
    if (!session.claims('transcript', addrOf(last))) throw new Problem('protocol', 'the seal is of another transcript')
    this.theirSession = session
  }
}

// extended is a keystone with more frames, those after known. One that has been shown before goes on, another begins.
function extended(before, genesis, frames, known) {
  const keystone = before?.genesis === genesis ? before.copy() : new Keystone()
  keystone.take(frames, known)
  if (keystone.frames.length === 0 || keystone.genesis !== genesis) throw new Error(`these are not the frames of ${genesis}`)
  return keystone
}

function newest(keystone) {
  return keystone && parse(addrOf(keystone.newest)).hash
}
