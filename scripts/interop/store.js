// A store of ibGibs in memory, with its timelines and their heads
// (protocol/SPEC.md, "Timelines and heads").
//
// A real peer would keep blocks on disk, an index of timelines, and the flag "closed"
// for each block. Here everything that is stored is closed, since add demands it.
import { json } from './canonical-json.js'
import { addrOf, decode, encode, links, parse, Refused } from './gib.js'

// The newest dna of a frame by which a person settled a conflict.
const KEEP = 'keep^2B87AFD378234891A25457458754F859E4CDB3F450EC0668FF5C3501E35C208D'

export class Store {
  blocks = new Map() // hash -> {ibGib, bytes, root}; root: see rootOf
  entries = new Map() // root -> sorted heads: timelines, and pinned stones

  has(hash) {
    return this.blocks.has(hash)
  }

  /** bytes is the stored form of a block. */
  bytes(hash) {
    return this.blocks.get(hash).bytes
  }

  /** add checks a stored form that came from outside and keeps it. It gives no frame a place as head. */
  add(bytes) {
    const ibGib = decode(bytes)
    const missing = links(ibGib).find((addr) => !this.holds(addr))
    if (missing) throw new Refused('link', `${addrOf(ibGib)} links to ${missing}, which is not here`)
    const { hash } = parse(addrOf(ibGib))
    this.blocks.set(hash, { ibGib, bytes, root: this.rootOf(ibGib, hash) })
    return hash
  }

  /** addAll adds stored forms, {hash: bytes}, that top reaches, and makes that a head if it is a frame. */
  addAll(came, top) {
    const open = [top]
    while (open.length > 0) {
      const hash = open.at(-1)
      const lacking = this.has(hash) ? [] : links(decode(came.get(hash))).map((addr) => parse(addr).hash).filter((h) => !this.has(h))
      if (lacking.length > 0) {
        open.push(...lacking)
        continue
      }
      if (!this.has(hash)) this.add(came.get(hash))
      open.pop()
    }
    const { root } = this.blocks.get(top)
    if (root) this.place(root, [top])
  }

  /** put keeps an ibGib made here. If it is a frame its timeline goes on with it. */
  put(ibGib) {
    const hash = this.add(encode(ibGib))
    const { root } = this.blocks.get(hash)
    if (root) this.place(root, [hash])
    return ibGib
  }

  // holds says whether an address is here. The hash alone is not enough: another
  // address with the same hash names something that cannot exist.
  holds(addr) {
    const block = this.blocks.get(parse(addr).hash)
    return block !== undefined && addrOf(block.ibGib) === addr
  }

  // rootOf is the hash of the first frame of the timeline that an ibGib fits on, or
  // undefined for a stone and for what fits on none. Keystones have rules of their own,
  // and travel by another way.
  rootOf(ibGib, hash) {
    const { data, rel8ns = {} } = ibGib
    if (data?.n !== undefined && !(Number.isSafeInteger(data.n) && data.n >= 0)) return undefined
    if (data?.isTjp) return rel8ns.tjp === undefined && !isKeystone(ibGib) ? hash : undefined
    const before = this.blocks.get(predecessor(ibGib))
    if (rel8ns.tjp?.length !== 1 || before?.root !== parse(rel8ns.tjp[0]).hash) return undefined
    const below = this.resolves(ibGib) ? [before, ...merged(ibGib).map((h) => this.blocks.get(h))] : [before]
    const newest = Math.max(...below.map((block) => block?.ibGib.data?.n ?? -1))
    return data?.n === (newest < 0 ? undefined : newest + 1) ? before.root : undefined
  }

  // resolves says whether a frame is a merge or keep frame: then the heads that it
  // lists are its history. A frame that only inherits the list has that of its predecessor.
  resolves(ibGib) {
    const before = this.blocks.get(predecessor(ibGib))
    return before !== undefined && merged(ibGib).length > 0 && merged(ibGib).join() !== merged(before.ibGib).join()
  }

  /** isMerge says whether a frame is one that nodes compute by themselves: it is no head. */
  isMerge(ibGib) {
    return this.resolves(ibGib) && ibGib.rel8ns.dna?.at(-1) !== KEEP
  }

  /** history is the set of a frame and of all that came before it on its timeline. */
  history(hash) {
    const seen = new Set()
    const open = [hash]
    while (open.length > 0) {
      const next = open.pop()
      const block = this.blocks.get(next)
      if (!block || seen.has(next)) continue
      seen.add(next)
      const before = [predecessor(block.ibGib), ...(this.resolves(block.ibGib) ? merged(block.ibGib) : [])]
      open.push(...before.filter((h) => this.blocks.get(h)?.root === block.root))
    }
    return seen
  }

  /** newest leaves out of some frames of a timeline those in the history of another. */
  newest(hashes) {
    const older = new Set()
    for (const hash of hashes) {
      for (const h of this.history(hash)) if (h !== hash) older.add(h)
    }
    return [...new Set(hashes)].filter((h) => !older.has(h)).sort()
  }

  /** place makes frames heads of their timeline, but for those that are history already. */
  place(root, hashes) {
    this.entries.set(root, this.newest([...(this.entries.get(root) ?? []), ...hashes]))
  }

  /** map lists what this side has: [{root, heads}], by ascending root. */
  map() {
    return [...this.entries].map(([root, heads]) => ({ root, heads })).sort((a, b) => (a.root < b.root ? -1 : 1))
  }

  /** frames are the hashes of all frames of a timeline. */
  frames(root) {
    return [...this.blocks].filter(([, block]) => block.root === root).map(([hash]) => hash)
  }

  /**
   * closure lists the given blocks and all that they reach, as far as it is here,
   * each after everything that it links to, without those in skip and what only these reach.
   */
  closure(hashes, skip = new Set()) {
    const order = []
    const seen = new Set(skip)
    const open = [...hashes].reverse().map((hash) => ({ hash }))
    while (open.length > 0) {
      const { hash, ready } = open.pop()
      if (ready) {
        order.push(hash)
        continue
      }
      const block = this.blocks.get(hash)
      if (!block || seen.has(hash)) continue
      seen.add(hash)
      open.push({ hash, ready: true }, ...links(block.ibGib).map((addr) => ({ hash: parse(addr).hash })))
    }
    return order
  }
}

function predecessor(ibGib) {
  const last = ibGib.rel8ns?.past?.at(-1)
  return last && parse(last).hash
}

// merged are the hashes of the heads that a merge or keep frame, or one before, has settled.
function merged(ibGib) {
  return (ibGib.rel8ns?.['ibgib.merge.1'] ?? []).map((addr) => parse(addr).hash)
}

function isKeystone({ ib, rel8ns }) {
  return ib === 'keystone' && json(rel8ns) === '{"ancestor":["keystone^gib"]}'
}
