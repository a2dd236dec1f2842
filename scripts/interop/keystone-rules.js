// The rules by which frames of keystones are judged (protocol/SPEC.md, "Keystones"). A
// function returns what is wrong, and nothing for a frame that keeps the rules.
import { createHash, createPublicKey, verify } from 'node:crypto'
import { json } from './canonical-json.js'
import { addrOf, parse } from './gib.js'

export const ROOT = 'keystone^gib'
const COSIG = 'ibgib keystone cosig v1\0'

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

/** firstViolation judges the first frame of a keystone. */
export function firstViolation({ ib, data, rel8ns }) {
  if (ib !== 'keystone' || !data.isTjp || data.n !== 0) return 'no first frame'
  if (data.proofs?.length !== 0 || data.revocationInfo) return 'a first frame proves nothing'
  if (Object.keys(rel8ns).join() !== 'ancestor' || rel8ns.ancestor.join() !== ROOT) return 'links'
  if (!data.challengePools?.length) return 'no pools'
  const short = data.challengePools.find(({ config, challenges }) => Object.keys(challenges).length !== config.behavior.size)
  return short && `pool ${short.id} has not its size`
}

/** violation judges a frame that is to follow others; seen are all challenge ids that there were. */
export function violation(frames, frame, seen) {
  const before = frames.at(-1)
  return followsNot(frames[0], before, frame) ??
    proofViolation(before, frame) ??
    poolViolation(before, frame, seen) ??
    revocationViolation(before, frame) ??
    cosigViolation(frames[0], frame)
}

function followsNot(first, before, { ib, data, rel8ns }) {
  if (before.data.revocationInfo) return 'the frame before revokes the keystone'
  if (ib !== 'keystone' || data.isTjp || data.n !== before.data.n + 1 || data.uuid !== first.data.uuid) return 'ib, n or uuid'
  if (Object.keys(rel8ns).sort().join() !== 'ancestor,past,tjp') return 'other links'
  if (rel8ns.ancestor.join() !== ROOT || rel8ns.tjp.join() !== addrOf(first)) return 'ancestor or tjp'
  const whole = [...(before.rel8ns.past ?? []), addrOf(before)]
  if (![addrOf(before), whole.join()].includes(rel8ns.past.join())) return 'past'
}

function proofViolation(before, { data }) {
  if (data.proofs?.length !== 1) return 'not one proof'
  const [{ claim, solutions, requiredChallengeIds }] = data.proofs
  const pool = poolOf(before, data)
  if (!pool || !claim.verb || !claim.target) return 'a proof without verb, target or solution'
  const { allowedVerbs, behavior } = pool.config
  if (allowedVerbs.length > 0 && !allowedVerbs.includes(claim.verb)) return `pool ${pool.id} does not sign ${claim.verb}`
  const ids = solutions.map((s) => s.challengeId)
  const { mandatory } = choose(pool, claim.target, requiredChallengeIds)
  if (mandatory.some((id, i) => ids[i] !== id)) return 'not the solutions that were demanded'
  if (ids.length !== mandatory.length + behavior.selectRandomly) return 'too few or too many solutions'
  if (new Set(ids).size !== ids.length) return 'a solution twice'
  const wrong = solutions.find(({ poolId, challengeId, value }) =>
    poolId !== pool.id || hashed(value, challengeId, pool.config) !== pool.challenges[challengeId]?.hash)
  return wrong && `the solution of ${wrong.challengeId}`
}

// poolOf is the pool of the frame before that a proof solves challenges of.
function poolOf(before, { proofs }) {
  return before.data.challengePools.find((p) => p.id === proofs[0].solutions[0]?.poolId)
}

function poolViolation(before, { data }, seen) {
  const old = before.data.challengePools
  const solved = data.proofs[0].solutions.map((s) => s.challengeId)
  if (data.challengePools.length !== old.length) return 'other pools'
  for (const [i, pool] of data.challengePools.entries()) {
    const fresh = Object.keys(pool.challenges).filter((id) => !old[i].challenges[id])
    if (fresh.some((id) => seen.has(id))) return 'a challenge id for the second time'
    const expected = old[i] === poolOf(before, data) ? replenished(old[i], solved, pool, fresh) : old[i]
    if (JSON.stringify(pool) !== JSON.stringify(expected)) return `pool ${pool.id} is not what it should be`
  }
}

function revocationViolation(before, { data }) {
  const [{ claim }] = data.proofs
  const revokes = data.revocationInfo !== undefined
  if ((claim.verb === 'revoke') !== revokes) return 'revocationInfo without the verb revoke, or the other way round'
  if (!revokes) return undefined
  if (poolOf(before, data).id !== 'revoke' || claim.target !== addrOf(before)) return 'the revocation'
  // The proof is sorted in revocationInfo, which is in no list, and keeps its order in proofs.
  if (json(data.revocationInfo.proof) !== json(data.proofs[0])) return 'the proof in revocationInfo'
}

function cosigViolation(first, { ib, data, rel8ns }) {
  const [key] = first.data.frameDetails?.cosigKeys ?? []
  const { cosig, ...details } = data.frameDetails ?? {}
  if (!key || (data.revocationInfo && !cosig)) return undefined
  const unsigned = { ...data, frameDetails: details }
  if (Object.keys(details).length === 0) delete unsigned.frameDetails
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: key }, format: 'jwk' })
  const message = cosigMessage({ ib, data: unsigned, rel8ns })
  if (!verify(null, message, publicKey, Buffer.from(cosig ?? '', 'base64url'))) return 'the co-signature'
}

/** cosigMessage is what a co-signature is over, given a frame without it. */
export function cosigMessage({ ib, data, rel8ns }) {
  return Buffer.from(`${COSIG}{"ib":${JSON.stringify(ib)},"data":${json(data)},"rel8ns":${json(rel8ns)}}`)
}

/**
 * choose returns the challenges that a proof about a target has to solve, in their order,
 * and those of which it may choose the rest. It throws if there are too few.
 */
export function choose(pool, target, demands = []) {
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

/** emptied returns a pool after some of its challenges were solved, before new ones come. */
export function emptied(pool, solved) {
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
  return fresh.length === count ? filled(emptied(pool, solved), fresh.map((id) => [id, next.challenges[id]])) : undefined
}

/** filled returns a pool with more challenges, [id, challenge], at its end. */
export function filled(pool, more) {
  const challenges = { ...pool.challenges }
  const bindingMap = structuredClone(pool.bindingMap)
  for (const [id, challenge] of more) {
    challenges[id] = challenge
    bindingMap[id[0]] = [...(bindingMap[id[0]] ?? []), id]
  }
  return { ...pool, challenges, bindingMap }
}
