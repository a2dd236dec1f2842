// Keystones: identities that are timelines of hash challenges (protocol/SPEC.md,
// "Keystones" and "Keystone frames as they travel").
//
// A frame publishes pools of challenges, {id: hash}. Whoever has the secret knows for
// each id a solution that hashes to it, and proves itself by showing some: the next
// frame does that, and says for what (its claim).
import { createPublicKey, randomBytes, randomInt, sign } from 'node:crypto'
import { json } from './canonical-json.js'
import { addrOf, decode, encode, make, parse } from './gib.js'
import { choose, cosigMessage, emptied, filled, firstViolation, ROOT, solve, violation } from './keystone-rules.js'
import { timestamps } from './timeline.js'

const TYPE = 'hash-reveal-v1'
const DELTA = 0xd1 // the first byte of a frame that travels as a delta

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

/** Keystone is a keystone as far as it is known: all its frames. */
export class Keystone {
  frames = []
  seen = new Set() // all challenge ids that there were

  /** begin makes a keystone with a secret of its own, whose frames are co-signed with an Ed25519 key. */
  static begin(configs, key, details = {}) {
    const keystone = new Keystone()
    keystone.secret = randomBytes(32).toString('hex')
    keystone.key = key
    const data = {
      ...timestamps(),
      isTjp: true,
      n: 0,
      uuid: randomBytes(32).toString('hex'),
      challengePools: configs.map((c) => keystone.more({ id: c.salt, config: c, challenges: {}, bindingMap: {} }, c.behavior.size)),
      proofs: [],
      frameDetails: { ...details, cosigKeys: [createPublicKey(key).export({ format: 'jwk' }).x] }
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

  /** add checks the next frame and takes it. */
  add(frame) {
    const wrong = this.frames.length === 0 ? firstViolation(frame) : violation(this.frames, frame, this.seen)
    if (wrong) throw new Error(`${addrOf(frame)}: ${wrong}`)
    for (const pool of frame.data.challengePools) Object.keys(pool.challenges).forEach((id) => this.seen.add(id))
    this.frames.push(frame)
    return frame
  }

  get genesis() {
    return addrOf(this.frames[0])
  }

  get newest() {
    return this.frames.at(-1)
  }

  /** claims says whether one of the frames claims a verb about a target. */
  claims(verb, target) {
    return this.frames.some(({ data }) => data.proofs.some(({ claim }) => claim.verb === verb && claim.target === target))
  }

  /** stored are the stored forms of the frames after one of them, or of all. A peer may send these always, and never a delta. */
  stored(known) {
    const at = this.frames.findIndex((frame) => parse(addrOf(frame)).hash === known)
    return this.frames.slice(at + 1).map(encode)
  }

  /** sign makes the next frame, which claims a verb about a target. */
  sign(verb, target) {
    const { n, uuid, challengePools } = this.newest.data
    const pool = challengePools.find(({ config }) => config.allowedVerbs.includes(verb)) ??
      challengePools.find(({ config }) => config.allowedVerbs.length === 0)
    const { mandatory, free } = choose(pool, target)
    const ids = [...mandatory]
    for (let i = 0; i < pool.config.behavior.selectRandomly; i++) ids.push(...free.splice(randomInt(free.length), 1))
    const solutions = ids.map((challengeId) => {
      const { solution } = solve(this.secret, challengeId, pool.config)
      return { type: TYPE, poolId: pool.id, challengeId, value: solution }
    })
    const next = this.more(emptied(pool, ids), ids.length)
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

  // more returns a pool with new challenges. An id begins with a digit that the fewest ids
  // of the pool begin with, so that there is always one for a target.
  more(pool, count) {
    for (let i = 0; i < count; i++) {
      const fill = (digit) => pool.bindingMap[digit]?.length ?? 0
      const digits = [...'0123456789abcdef'].sort((a, b) => fill(a) - fill(b))
      const least = digits.filter((digit) => fill(digit) === fill(digits[0]))
      const id = least[randomInt(least.length)] + randomBytes(8).toString('hex').slice(1)
      pool = filled(pool, [[id, { type: TYPE, hash: solve(this.secret, id, pool.config).challenge }]])
    }
    return pool
  }

  // fromDelta makes a frame out of the one before it and what is new in it.
  fromDelta(before, bytes) {
    const text = bytes.toString()
    const { data, fresh, hash, wholePast } = JSON.parse(text)
    const [{ solutions }] = data.proofs
    const solved = solutions.map((s) => s.challengeId)
    const more = fresh.map(([id, challenge]) => [id, { type: TYPE, hash: challenge }])
    const challengePools = before.data.challengePools.map((pool) =>
      (pool.id === solutions[0].poolId ? filled(emptied(pool, solved), more) : pool))
    const past = [...(wholePast ? before.rel8ns.past ?? [] : []), addrOf(before)]
    const frame = make('keystone', { ...data, challengePools }, { ancestor: [ROOT], past, tjp: [this.genesis] })
    const again = json({ data, fresh, hash, wholePast })
    if (parse(addrOf(frame)).hash !== hash || again !== text) throw new Error('this delta makes another frame')
    return decode(encode(frame))
  }
}
