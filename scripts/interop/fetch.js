// Getting what is known by its exact address, from peers that need not be trusted, and
// showing what is public to others (protocol/SPEC.md, "A fetch").
import { addrOf, decode, links, parse } from './gib.js'
import { Chunks, chunked } from './payload.js'
import { Problem } from './wire.js'

const MAX_WANTS = 256
const MAX_ANSWER = 1 << 20 // bytes of the blocks of an answer, but for a single larger one

/**
 * fetchClosure gets a block and all that it links to into a store. If it is a frame its
 * timeline then has it as head. It returns how many blocks came.
 */
export async function fetchClosure(conn, addr, store) {
  const target = parse(addr).hash
  const came = new Map() // hash -> stored form
  let lacking = new Map([[target, addr]]) // hash -> whole address, as a link has it
  while (lacking.size > 0) {
    const wants = [...lacking.keys()].slice(0, MAX_WANTS)
    await conn.send({ kind: 'fetch', target, wants })
    for (const bytes of await answer(conn)) {
      const ibGib = decode(bytes)
      const { hash } = parse(addrOf(ibGib))
      if (!wants.includes(hash) || lacking.get(hash) !== addrOf(ibGib)) throw new Problem('protocol', `${addrOf(ibGib)} was not asked for`)
      came.set(hash, bytes)
      lacking.delete(hash)
      for (const link of links(ibGib)) {
        const { hash } = parse(link)
        if (!came.has(hash) && !store.has(hash)) lacking.set(hash, link)
      }
    }
  }
  await conn.close()
  store.addAll(came, target)
  return came.size
}

// answer reads the stored forms of one answer.
async function answer(conn) {
  const chunks = new Chunks()
  for (;;) {
    const { message } = (await conn.receive()) ?? {}
    const { kind, items = [], absent = [] } = message ?? {}
    if (kind !== 'fetched' || items.length + absent.length === 0) throw new Problem('protocol', 'no answer')
    if (absent.length > 0) throw new Problem('refused', `${absent[0]} is not shown`)
    const [{ chunk }] = items
    if (!chunk) return items.map(({ full }) => full)
    const whole = chunks.take(chunk)
    if (whole) return [whole]
  }
}

/** answerFetch serves a stream, given its first message. shows says of a root whether its timeline is public. */
export async function answerFetch(conn, first, store, shows) {
  const shown = new Set(visible(store, first.target, shows))
  for (let message = first; message; message = (await conn.receive())?.message) {
    const { kind, target, wants } = message
    if (kind !== 'fetch' || target !== first.target || !wants?.length) throw new Problem('protocol', 'no question')
    if (wants.length > MAX_WANTS) throw new Problem('limit', `${wants.length} wants`)
    const items = []
    let size = 0
    for (const hash of wants.filter((h) => shown.has(h))) {
      const bytes = store.bytes(hash)
      if (size > 0 && size + bytes.length > MAX_ANSWER) break
      size += bytes.length
      items.push(...chunked(hash, bytes))
    }
    const absent = wants.filter((h) => !shown.has(h))
    if (items[0]?.chunk) for (const item of items) await conn.send({ kind: 'fetched', items: [item] })
    else await conn.send({ kind: 'fetched', items, absent })
  }
  await conn.close()
}

// visible lists what may be shown of a closure: frames of public timelines, and stones,
// as far as they are reached through these.
function visible(store, target, shows) {
  const isShown = (hash) => {
    const block = store.blocks.get(hash)
    return block !== undefined && (block.root === undefined || shows(block.root))
  }
  const root = store.blocks.get(target)?.root
  if (!root || !shows(root)) return []
  return store.closure([target], new Set([...store.blocks.keys()].filter((hash) => !isShown(hash))))
}
