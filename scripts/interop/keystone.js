// Keystones: identities that are timelines of hash challenges. The rules are those of
// the package documentation of keystone.
//
// A frame publishes pools of challenges, {id: hash}. Whoever has the secret knows for
// each id a solution that hashes to it, and proves itself by showing some: the next
// frame does that, and says for what (its claim).
import { createHash, createPublicKey, randomBytes, randomInt, sign, verify } from 'node:crypto'
import { json } from './canonical-json.js'
import { addrOf, decode, encode, make, parse } from './gib.js'
import { timestamps } from './timeline.js'

const TYPE = 'hash-reveal-v1'
const ROOT = 'keystone^gib'
const DELTA = 0xd1 // the first byte of a frame that travels as a delta
const COSIG = 'ibgib keystone cosig v1\0'

/** The pools of the primary keystone of a node. */
export const PRIMARY = [
  config('default', [], { size: 100, each: 2, bound: 4 }),
  config('sync', ['sync'], { size: 64, each: 2, bound: 4 }),
  config('revoke', ['revoke'], { size: 32, each: 8, replenish: 'scorched-earth', rounds: 10 })
]

/** The one pool of a session keystone. */
export const SESSION = config('session', ['connect', 'transcript'], { size: 16, each: 1 })

function config(salt, allowedVerbs, { size, each, bound = 0, replenish = 'top-up', rounds = 1 }) {
  return {
    type: TYPE,
    salt,
    allowedVerbs,
    behavior: { size, replenish, selectSequentially: each, selectRandomly: each, targetBindingChars: bound },
    algo: 'SHA-256',
    rounds
  }
}

// hashed is round after round of hash(salt + x + salt), in lower-case hex.
function hashed(x, salt, { algo, rounds }) {
  const name = algo === 'SHA-512' ? 'sha512' : 'sha256'
  for (let i = 0; i < rounds; i++) x = createHash(name).update(salt + x + salt).digest('hex')
  return x
}

/** solve returns what is revealed of a challenge, and what is published of it. */
export function solve(secret, id, config) {
  const solution = hashed(hashed(secret, config.salt, config), id, config)
  return { solution, challenge: hashed(solution, id, config) }
}

/** Keystone is a keystone as far as it is known: all its frames. */
export class Keystone {
  frames = []
  seen = new Set() // all challenge ids that there were

  /** begin makes a keystone with a secret of its own, whose frames are co-signed with an Ed25519 key. */
  static begin(configs, key, details = {}) {
    const keystone = new Keystone()
    keystone.secret = randomBytes(32).toString('hex')
    keystone.key = key
    const pools = configs.map((c) => keystone.filled({ id: c.salt, config: c, challenges: {}, bindingMap: {} }, c.behavior.size))
    const data = {
      ...timestamps(),
      isTjp: true,
      n: 0,
      uuid: randomBytes(32).toString('hex'),
      challengePools: pools,
      proofs: [],
      frameDetails: { ...details, cosigKeys: [publicText(key)] }
    }
    keystone.add(make('keystone', data, { ancestor: [ROOT] }))
    return keystone
  }

  /** read checks the frames of a keystone as they travel, oldest first. It throws for one that breaks a rule. */
  static read(frames) {
    const keystone = new Keystone()
    keystone.take(frames)
    return keystone
  }

  /**
   * take takes frames as they travel: those after the one with the hash known, which this
   * side has named, or all. It may have got some of them in the meantime.
   */
  take(frames, known) {
    let before = this.frames.find(({ gib }) => gib.startsWith(known))
    for (const bytes of frames) {
      const frame = bytes[0] === DELTA ? this.fromDelta(before, bytes.subarray(1)) : decode(bytes)
      if (!this.frames.some(({ gib }) => gib === frame.gib)) this.add(frame)
      before = frame
    }
  }

  copy() {
    const copy = new Keystone()
    copy.frames = [...this.frames]
    copy.seen = new Set(this.seen)
    return copy
  }

  /** claims says whether one of the frames claims a verb about a target. */
  claims(verb, target) {
    return this.frames.some(({ data }) => data.proofs.some(({ claim }) => claim.verb === verb && claim.target === target))
  }

  get genesis() {
    return addrOf(this.frames[0])
  }

  get newest() {
    return this.frames.at(-1)
  }

  /** stored are the stored forms of the frames after one of them, or of all. */
  stored(known) {
    const at = this.frames.findIndex((frame) => parse(addrOf(frame)).hash === known)
    return this.frames.slice(at + 1).map(encode)
  }

  /** sign makes the next frame, which claims a verb about a target. */
  sign(verb, target) {
    const { n, uuid, challengePools } = this.newest.data
    const pool = challengePools.find((p) => p.config.allowedVerbs.includes(verb)) ?? challengePools.find((p) => p.config.allowedVerbs.length === 0)
    const { mandatory, free } = choose(pool, target)
    const ids = [...mandatory]
    for (let i = 0; i < pool.config.behavior.selectRandomly; i++) ids.push(...free.splice(randomInt(free.length), 1))
    const solutions = ids.map((id) => ({ type: TYPE, poolId: pool.id, challengeId: id, value: solve(this.secret, id, pool.config).solution }))
    const next = this.filled(emptied(pool, ids), ids.length)
    const data = {
      ...timestamps(),
      n: n + 1,
      uuid,
      challengePools: challengePools.map((p) => (p === pool ? next : p)),
      proofs: [{ claim: { target, verb }, solutions }]
    }
    const rel8ns = { ancestor: [ROOT], past: [addrOf(this.newest)], tjp: [this.genesis] }
    const cosig = sign(null, cosigMessage({ ib: 'keystone', data, rel8ns }), this.key).toString('base64url')
    return this.add(make('keystone', { ...data, frameDetails: { cosig } }, rel8ns))
  }

  // fromDelta makes a frame out of the one before it and what is new in it.
  fromDelta(before, bytes) {
    const text = bytes.toString()
    const { data, fresh, hash, wholePast } = JSON.parse(text)
    const solutions = data.proofs[0].solutions
    const challengePools = before.data.challengePools.map((pool) => {
      if (pool.id !== solutions[0].poolId) return pool
      const { challenges, bindingMap } = emptied(pool, solutions.map((s) => s.challengeId))
      for (const [id, challenge] of fresh) put(challenges, bindingMap, id, { type: TYPE, hash: challenge })
      return { ...pool, challenges, bindingMap }
    })
    const past = [...(wholePast ? before.rel8ns.past ?? [] : []), addrOf(before)]
    const frame = make('keystone', { ...data, challengePools }, { ancestor: [ROOT], past, tjp: [this.genesis] })
    if (parse(addrOf(frame)).hash !== hash || json({ data, fresh, hash, wholePast }) !== text) throw new Error('this delta makes another frame')
    return decode(encode(frame))
  }

  // filled returns a pool with new challenges at its end. An id begins with a digit
  // that the fewest ids of the pool begin with, so that there is always one for a target.
  filled(pool, count) {
    const challenges = { ...pool.challenges }
    const bindingMap = structuredClone(pool.bindingMap)
    for (let i = 0; i < count; i++) {
      const fill = [...'0123456789abcdef'].map((digit) => [digit, Object.keys(challenges).filter((id) => id[0] === digit).length])
      const least = Math.min(...fill.map(([, n]) => n))
      const digits = fill.filter(([, n]) => n === least)
      const id = digits[randomInt(digits.length)][0] + randomBytes(8).toString('hex').slice(1)
      put(challenges, bindingMap, id, { type: TYPE, hash: solve(this.secret, id, pool.config).challenge })
    }
    return { ...pool, challenges, bindingMap }
  }

  /** add checks the next frame and takes it. */
  add(frame) {
    const problem = this.frames.length === 0 ? first(frame) : this.violation(frame)
    if (problem) throw new Error(`${addrOf(frame)}: ${problem}`)
    for (const pool of frame.data.challengePools) Object.keys(pool.challenges).forEach((id) => this.seen.add(id))
    this.frames.push(frame)
    return frame
  }

  // violation says which rule a frame breaks that is to follow the newest one.
  violation(frame) {
    const before = this.newest
    const { data, rel8ns } = frame
    if (before.data.revocationInfo) return 'the frame before revokes the keystone'
    if (frame.ib !== 'keystone' || data.isTjp || data.n !== before.data.n + 1 || data.uuid !== before.data.uuid) return 'ib, n or uuid'
    if (Object.keys(rel8ns).sort().join() !== 'ancestor,past,tjp' || rel8ns.ancestor.join() !== ROOT || rel8ns.tjp.join() !== this.genesis) return 'links'
    const whole = [...(before.rel8ns.past ?? []), addrOf(before)]
    if (rel8ns.past.join() !== addrOf(before) && rel8ns.past.join() !== whole.join()) return 'past'
    if (data.proofs?.length !== 1) return 'not one proof'
    const [{ claim, solutions, requiredChallengeIds = [] }] = data.proofs
    const ids = solutions.map((s) => s.challengeId)
    const pool = before.data.challengePools.find((p) => p.id === solutions[0]?.poolId)
    if (!pool || !claim.verb || !claim.target) return 'a proof without verb, target or solution'
    const { allowedVerbs } = pool.config
    if (allowedVerbs.length > 0 && !allowedVerbs.includes(claim.verb)) return `pool ${pool.id} does not sign ${claim.verb}`

    const { mandatory } = choose(pool, claim.target, requiredChallengeIds)
    if (new Set(ids).size !== ids.length || ids.length !== mandatory.length + pool.config.behavior.selectRandomly) return 'too few or too many solutions'
    if (mandatory.some((id, i) => ids[i] !== id)) return 'not the solutions that were demanded'
    for (const { poolId, challengeId, value } of solutions) {
      if (poolId !== pool.id || hashed(value, challengeId, pool.config) !== pool.challenges[challengeId]?.hash) return `solution of ${challengeId}`
    }

    for (const [i, p] of data.challengePools.entries()) {
      const old = before.data.challengePools[i]
      const fresh = Object.keys(p.challenges).filter((id) => !old?.challenges[id])
      if (fresh.some((id) => this.seen.has(id))) return 'a challenge id for the second time'
      const expected = old === pool ? replenished(pool, ids, p, fresh) : old
      if (JSON.stringify(p) !== JSON.stringify(expected)) return `pool ${p.id} is not what it should be`
    }
    if (data.challengePools.length !== before.data.challengePools.length) return 'a pool is missing'
    if ((claim.verb === 'revoke') !== (data.revocationInfo !== undefined)) return 'revocationInfo'
    if (data.revocationInfo && (json(data.revocationInfo.proof) !== json(sortedCopy(data.proofs[0])) || claim.target !== addrOf(before))) return 'revocation'
    const [key] = this.frames[0].data.frameDetails?.cosigKeys ?? []
    if (key && !(data.revocationInfo && !data.frameDetails?.cosig) && !isCosigned(frame, key)) return 'the co-signature'
  }
}

function first({ ib, data, rel8ns }) {
  if (ib !== 'keystone' || !data.isTjp || data.n !== 0 || data.proofs?.length || data.revocationInfo || !data.challengePools?.length) return 'no first frame'
  if (Object.keys(rel8ns).join() !== 'ancestor' || rel8ns.ancestor.join() !== ROOT) return 'links'
  for (const { config, challenges } of data.challengePools) {
    if (Object.keys(challenges).length !== config.behavior.size) return `pool ${config.salt} has not its size`
  }
}

// choose returns the challenges that a proof about a target has to solve, in their
// order, and those of which it may choose the rest.
function choose(pool, target, demands = []) {
  const { selectSequentially, targetBindingChars } = pool.config.behavior
  const free = new Set(Object.keys(pool.challenges))
  const mandatory = []
  const take = (id) => {
    if (!free.delete(id)) throw new Error(`pool ${pool.id} is exhausted`)
    mandatory.push(id)
  }
  demands.forEach(take)
  for (const digit of parse(target).gib.toLowerCase().slice(0, targetBindingChars)) {
    take((pool.bindingMap[digit] ?? []).find((id) => free.has(id)))
  }
  for (let i = 0; i < selectSequentially; i++) take([...free][0])
  return { mandatory, free: [...free] }
}

// emptied returns a pool after some of its challenges were solved, before it is filled again.
function emptied(pool, solved) {
  const { replenish } = pool.config.behavior
  if (replenish === 'scorched-earth' || replenish === 'replace-all') return { ...pool, challenges: {}, bindingMap: {} }
  const left = (id) => !solved.includes(id)
  return {
    ...pool,
    challenges: Object.fromEntries(Object.entries(pool.challenges).filter(([id]) => left(id))),
    bindingMap: Object.fromEntries(Object.entries(pool.bindingMap).map(([digit, ids]) => [digit, ids.filter(left)]))
  }
}

// replenished is what a pool has to be after a proof, given the new challenges.
function replenished(pool, solved, next, fresh) {
  const { replenish, size } = pool.config.behavior
  const count = { 'top-up': solved.length, 'replace-all': size }[replenish] ?? 0
  if (fresh.length !== count) return undefined
  const { challenges, bindingMap } = emptied(pool, solved)
  for (const id of fresh) put(challenges, bindingMap, id, next.challenges[id])
  return { ...pool, challenges, bindingMap }
}

// put adds a challenge at the end of a pool.
function put(challenges, bindingMap, id, challenge) {
  challenges[id] = challenge
  bindingMap[id[0]] = [...(bindingMap[id[0]] ?? []), id]
}

// cosigMessage is what a co-signature is over.
function cosigMessage({ ib, data, rel8ns }) {
  return Buffer.from(`${COSIG}{"ib":${JSON.stringify(ib)},"data":${json(data)},"rel8ns":${json(rel8ns)}}`)
}

function isCosigned({ ib, data, rel8ns }, key) {
  const { cosig = '', ...details } = data.frameDetails ?? {}
  const unsigned = { ...data, frameDetails: details }
  if (Object.keys(details).length === 0) delete unsigned.frameDetails
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: key }, format: 'jwk' })
  return verify(null, cosigMessage({ ib, data: unsigned, rel8ns }), publicKey, Buffer.from(cosig, 'base64url'))
}

/** publicText is an Ed25519 public key as frameDetails has it: 32 bytes in base64url. */
export function publicText(key) {
  return createPublicKey(key).export({ format: 'jwk' }).x
}

// sortedCopy sorts members: the proof in revocationInfo stands outside of lists, so it
// is sorted there, and keeps its order in proofs.
function sortedCopy(value) {
  return JSON.parse(json(value))
}
