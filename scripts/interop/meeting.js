// A meeting, in which two peers introduce themselves and prove what they know
// (protocol/SPEC.md, "A meeting" and "An invite").
import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { varint } from './gib.js'
import { Problem } from './wire.js'

const MESH_SECRET = 'ibgib mesh secret proof v1'
const INVITE = 'ibgib invite proof v1'

/**
 * meet opens a meeting as I. self and other are peer ids as bytes; relation is with the
 * other side, if this side trusts it. With the secret of an invite it redeems that, with
 * a mesh secret it proves that. It returns what the other side has named and proven:
 * {genesis, features, proven, session}; session says that both have shown their sessions.
 */
export async function meet(conn, { self, other, genesis, relation, meshSecret, inviteSecret }) {
  const nonce = randomBytes(32)
  const said = relation?.hello()
  await conn.send({ kind: 'hello', features: meshSecret ? ['mesh-secret'] : [], genesis, nonce, ...said })
  const theirs = await hello(conn)
  checkFirst(theirs, nonce)
  const result = { genesis: theirs.genesis, features: theirs.features, proven: false, session: false }
  const about = { i: { id: self, genesis, nonce }, r: { id: other, genesis: theirs.genesis, nonce: theirs.nonce } }
  const useMesh = meshSecret !== undefined && theirs.features.includes('mesh-secret')
  if (useMesh || inviteSecret) {
    await conn.send({
      kind: 'hello',
      nonce,
      meshSecretProof: useMesh ? meshProof(meshSecret, 'I', about) : undefined,
      inviteProof: inviteSecret ? inviteProof(inviteSecret, 'I', about) : undefined
    })
    const second = await hello(conn)
    if (!second.nonce.equals(theirs.nonce)) throw new Problem('protocol', 'another nonce than before')
    const isMesh = useMesh && equal(second.meshSecretProof, meshProof(meshSecret, 'R', about))
    const isInvite = inviteSecret && equal(second.inviteProof, inviteProof(inviteSecret, 'R', about))
    if (!isMesh && !isInvite) throw new Problem('untrusted', 'the other side has proven nothing')
    result.proven = true
  }
  if (relation && theirs.session) {
    const nonces = { own: nonce, other: theirs.nonce }
    for (const message of relation.credentials(theirs, nonces, conn.connection)) await conn.send(message)
    await relation.receive(() => conn.receive(), said, theirs, nonces, conn.connection)
    relation.taken.add(conn.connection)
    result.session = true
  }
  await conn.close()
  await conn.end()
  return result
}

/** answerMeeting is the side of R, given the first message. It returns the same. */
export async function answerMeeting(conn, first, { self, other, genesis, relation, meshSecret }) {
  const nonce = randomBytes(32)
  checkFirst(first, nonce)
  const said = relation?.hello()
  await conn.send({ kind: 'hello', features: meshSecret ? ['mesh-secret'] : [], genesis, nonce, ...said })
  const result = { genesis: first.genesis, features: first.features, proven: false, session: false }
  let next = await conn.receive()
  if (next?.message.kind === 'hello') {
    const second = next.message
    if (!second.nonce.equals(first.nonce)) throw new Problem('protocol', 'another nonce than before')
    const about = { i: { id: other, genesis: first.genesis, nonce: first.nonce }, r: { id: self, genesis, nonce } }
    if (!meshSecret || !equal(second.meshSecretProof, meshProof(meshSecret, 'I', about))) {
      throw new Problem('untrusted', 'the proof is wrong')
    }
    await conn.send({ kind: 'hello', nonce, meshSecretProof: meshProof(meshSecret, 'R', about) })
    result.proven = true
    next = await conn.receive()
  }
  if (relation && first.session) {
    const nonces = { own: nonce, other: first.nonce }
    const queue = [next]
    await relation.receive(async () => queue.pop() ?? conn.receive(), said, first, nonces, conn.connection)
    for (const message of relation.credentials(first, nonces, conn.connection)) await conn.send(message)
    next = await conn.receive()
    relation.taken.add(conn.connection)
    result.session = true
  }
  if (next) throw new Problem('protocol', `${next.message.kind} at the end of a meeting`)
  await conn.close()
  return result
}

async function hello(conn) {
  const { message } = (await conn.receive()) ?? {}
  if (message?.kind !== 'hello') throw new Problem('protocol', 'no hello')
  return message
}

function checkFirst({ nonce, meshSecretProof, inviteProof: invite }, mine) {
  if (nonce.length !== 32 || nonce.equals(mine) || meshSecretProof || invite) throw new Problem('protocol', 'no first hello')
}

function meshProof(secret, role, { i, r }) {
  return proof(secret, MESH_SECRET, [role, counted(i.id), counted(r.id), i.nonce, r.nonce])
}

function inviteProof(secret, role, { i, r }) {
  return proof(secret, INVITE, [role, counted(i.id), counted(r.id), counted(i.genesis ?? ''), counted(r.genesis ?? ''), i.nonce, r.nonce])
}

// proof is HMAC-SHA256 over a name, a zero byte and the parts.
function proof(secret, name, parts) {
  const hmac = createHmac('sha256', Buffer.from(hkdfSync('sha256', secret, '', name, 32)))
  hmac.update(`${name}\0`)
  for (const part of parts) hmac.update(part)
  return hmac.digest()
}

// counted is a text or bytes after its length.
function counted(part) {
  const bytes = Buffer.from(part)
  return Buffer.concat([varint(bytes.length), bytes])
}

function equal(a, b) {
  return a?.length === b.length && timingSafeEqual(a, b)
}

/** readInvite takes the text of an invite apart: {peer, keystone, addrs, secret}. */
export function readInvite(text) {
  const [prefix, body] = text.trim().split(':')
  if (prefix !== 'ibgib-invite' || body === undefined) throw new Error('no invite')
  const { v, peer, keystone, addrs, secret, expires } = JSON.parse(Buffer.from(body, 'base64url'))
  if (v !== 1 || expires * 1000 < Date.now()) throw new Error('an invite of another version, or one that has expired')
  return { peer, keystone, addrs, secret: Buffer.from(secret, 'base64url') }
}
