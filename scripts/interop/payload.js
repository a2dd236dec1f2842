// The payload of a saga: what one side offers and sends, and what it takes
// (protocol/SPEC.md, "A saga", step 4). Both return the fields of deltas to send.
import { links, parse, Refused } from './gib.js'
import { Problem } from './wire.js'

/** CREDIT is how many payload bytes the other side may send before it is granted more. */
export const CREDIT = 4 << 20
const MAX_CREDIT = 2 ** 30
const MAX_OFFERS = 1024 // of one list
const MAX_LISTS = 4 // without an answer
const MAX_OPEN = 8192 // blocks offered and neither refused nor sent
const MAX_ITEMS = 8192 // of one delta
const MAX_BATCH = 256 << 10 // payload bytes of one delta with several items
const MAX_WHOLE = 1 << 20 // bytes of a full item, and of a chunk
const MAX_STORED = 71_303_184
const MAX_REFUSALS = 64
const MAX_WAITING = 262_144

/** Sending brings blocks to the other side. */
export class Sending {
  credit = 0
  sent = { ibGibs: 0, bytes: 0 }
  done = false // said so
  planned = false
  toOffer = [] // hashes, dependencies first
  offered = [] // lists without an answer
  toSend = []

  constructor(store) {
    this.store = store
  }

  /** begin takes all that has to travel, dependencies first. To a side that has nothing it is not offered. */
  begin(hashes, { unoffered }) {
    this.planned = true
    if (unoffered) this.toSend = hashes
    else this.toOffer = hashes
  }

  grant(credit) {
    this.credit += credit
    if (this.credit > MAX_CREDIT) throw new Problem('limit', 'credit')
  }

  takeAnswer({ count = 0, lacks = [] }) {
    const list = this.offered.shift()
    if (list?.length !== count || lacks.length !== Math.ceil(count / 8)) throw new Problem('protocol', 'an answer that fits no offers')
    this.toSend.push(...list.filter((_, i) => (lacks[i >> 3] >> (i & 7)) & 1))
  }

  /** next returns what can be sent now, and done when that was all. */
  next() {
    if (!this.planned || this.done) return []
    const deltas = [...this.offers(), ...this.items()]
    if (this.toOffer.length + this.offered.length + this.toSend.length === 0) {
      deltas.push({ done: true })
      this.done = true
    }
    return deltas
  }

  offers() {
    const deltas = []
    const open = () => this.offered.reduce((sum, list) => sum + list.length, this.toSend.length)
    while (this.toOffer.length > 0 && this.offered.length < MAX_LISTS && open() + MAX_OFFERS <= MAX_OPEN) {
      const offers = this.toOffer.splice(0, MAX_OFFERS)
      this.offered.push(offers)
      deltas.push({ offers })
    }
    return deltas
  }

  items() {
    const deltas = []
    let room = 0 // in the last delta
    while (this.toSend.length > 0 && this.credit > 0) {
      const hash = this.toSend.shift()
      const bytes = this.store.bytes(hash)
      this.credit -= bytes.length
      this.sent.ibGibs++
      this.sent.bytes += bytes.length
      if (bytes.length > MAX_WHOLE) {
        deltas.push(...chunked(hash, bytes).map((item) => ({ items: [item] })))
        room = 0
      } else if (bytes.length > room || deltas.at(-1).items.length === MAX_ITEMS) {
        deltas.push({ items: [{ full: bytes }] })
        room = MAX_BATCH - bytes.length
      } else {
        deltas.at(-1).items.push({ full: bytes })
        room -= bytes.length
      }
    }
    return deltas
  }
}

/** chunked returns a stored form as the items that it travels in: one, or chunks. */
export function chunked(hash, bytes) {
  if (bytes.length <= MAX_WHOLE) return [{ full: bytes }]
  const items = []
  for (let offset = 0; offset < bytes.length; offset += MAX_WHOLE) {
    items.push({ chunk: { hash, offset, total: bytes.length, piece: bytes.subarray(offset, offset + MAX_WHOLE) } })
  }
  return items
}

/** Chunks puts a stored form together that comes in chunks. */
export class Chunks {
  open = undefined // {hash, total, pieces, size}

  /** take returns the whole when its last piece has come. */
  take({ hash, offset = 0, total = 0, piece }) {
    this.open ??= { hash, total, pieces: [], size: 0 }
    const { open } = this
    if (hash !== open.hash || total !== open.total || total > MAX_STORED || offset !== open.size || offset + piece.length > total) {
      throw new Problem('protocol', 'a chunk that does not follow')
    }
    open.pieces.push(piece)
    open.size += piece.length
    if (open.size < total) return undefined
    this.open = undefined
    return Buffer.concat(open.pieces)
  }
}

/** Receiving takes blocks of the other side, and stores them as they come. */
export class Receiving {
  received = { ibGibs: 0, bytes: 0 }
  refusals = []
  arrived = new Set()
  done = false // the other side has said so
  granted = CREDIT
  expected = [] // hashes that this side has said it lacks, in order
  present = false // something that was offered was here
  unlinked = new Set() // of those that arrived: nothing links to them yet
  dropped = new Set()
  chunks = new Chunks()

  /** A side that held nothing at the beginning is fresh: it is sent blocks without offers. */
  constructor(store, { fresh }) {
    this.store = store
    this.fresh = fresh
  }

  takeOffers(offers) {
    if (this.done || this.fresh) throw new Problem('protocol', 'offers out of place')
    if (offers.length > MAX_OFFERS) throw new Problem('limit', `${offers.length} offers`)
    const lacks = new Uint8Array(Math.ceil(offers.length / 8))
    offers.forEach((hash, i) => {
      if (this.store.has(hash)) {
        this.present = true
        return
      }
      lacks[i >> 3] |= 1 << (i & 7)
      this.expected.push(hash)
    })
    return [{ answer: { count: offers.length, lacks } }]
  }

  takeItem({ full, chunk }) {
    const payload = full ?? chunk?.piece
    if (this.done || !payload?.length || (full && chunk)) throw new Problem('protocol', 'an item out of place')
    if (payload.length > MAX_WHOLE) throw new Problem('limit', `an item of ${payload.length} bytes`)
    if (this.chunks.open ? !chunk : this.granted <= 0) throw new Problem('protocol', 'an item out of turn')
    this.granted -= payload.length
    const whole = chunk ? this.chunks.take(chunk) : payload
    if (whole) this.takeBlock(whole)
    // Granted anew when half has been used: what came is stored by now.
    if (this.chunks.open || this.granted >= CREDIT / 2) return []
    const credit = CREDIT - this.granted
    this.granted = CREDIT
    return [{ credit }]
  }

  takeBlock(bytes) {
    const expected = this.expected.shift()
    if (!expected && !this.fresh) throw new Problem('protocol', 'a block that nobody has asked for')
    let hash
    try {
      hash = this.store.add(bytes)
    } catch (err) {
      if (!(err instanceof Refused)) throw err
      this.refuse(expected, bytes, err)
      return
    }
    if (expected && hash !== expected) throw new Problem('protocol', 'a block other than the next one')
    this.received.ibGibs++
    this.received.bytes += bytes.length
    this.arrived.add(hash)
    this.unlinked.add(hash)
    for (const addr of links(this.store.blocks.get(hash).ibGib)) this.unlinked.delete(parse(addr).hash)
    if (this.unlinked.size > MAX_WAITING) throw new Problem('limit', 'too many blocks that nothing links')
  }

  // refuse drops a block. What links to one that was dropped is dropped without a word.
  refuse(hash, bytes, { rule, detail }) {
    const orphan = rule === 'link' && links(JSON.parse(bytes)).some((addr) => this.dropped.has(parse(addr).hash))
    if (rule === 'link' && !orphan) throw new Problem('protocol', detail)
    if (hash) this.dropped.add(hash)
    if (orphan) return
    this.refusals.push({ hash, rule, detail: detail.slice(0, 80) })
    if (this.refusals.length > MAX_REFUSALS) throw new Problem('refused', detail)
  }

  /** takeDone checks that all that was wanted has come, and nothing else. */
  takeDone(wanted) {
    if (this.done || this.expected.length > 0 || this.chunks.open) throw new Problem('protocol', 'done out of place')
    this.done = true
    if (this.refusals.length > 0) return
    const missing = [...wanted].find((hash) => !this.store.has(hash))
    if (missing) throw new Problem('protocol', `done without ${missing}`)
    const stray = [...this.unlinked].find((hash) => !wanted.has(hash))
    if (stray && !this.present) throw new Problem('protocol', `nothing links to ${stray}`)
  }
}
