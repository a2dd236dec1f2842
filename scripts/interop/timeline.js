// Timelines made here. A change is recorded as dna, by which others can make it again
// on another frame: so what two peers change at the same time can be merged.
import { randomBytes } from 'node:crypto'
import { addrOf, make } from './gib.js'

/** begin starts a timeline in a store and returns its first frame, the tjp. */
export function begin(store, ib, data = {}) {
  const uuid = randomBytes(32).toString('hex')
  return store.put(make(ib, { ...data, ...timestamps(), isTjp: true, n: 0, uuid }, { ancestor: [`${ib}^gib`] }))
}

/** change follows a frame by one with some members of data changed: the transform mut8. */
export function change(store, frame, patch) {
  const dna = make('mut8', { type: 'mut8', dataToAddOrPatch: patch, dna: true, linkedRel8ns: ['past', 'dna'] }, { ancestor: ['mut8^gib'] })
  store.put(dna)
  const { isTjp, ...before } = frame.data
  return store.put(make(frame.ib, { ...patched(before, patch), ...timestamps(), n: before.n + 1 }, {
    ...frame.rel8ns,
    dna: [addrOf(dna)],
    past: [addrOf(frame)],
    tjp: isTjp ? [addrOf(frame)] : frame.rel8ns.tjp
  }))
}

// patched merges objects; lists are replaced like everything else.
function patched(value, patch) {
  const isObject = (v) => v !== null && typeof v === 'object' && !Array.isArray(v)
  if (!isObject(value) || !isObject(patch)) return patch
  const out = { ...value }
  for (const [name, v] of Object.entries(patch)) out[name] = patched(value[name], v)
  return out
}

/** timestamps are the members of data that say when. */
export function timestamps(now = new Date()) {
  return { timestamp: now.toUTCString(), timestampMs: now.getUTCMilliseconds() }
}
