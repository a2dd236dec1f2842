// A saga as a state machine, the same for both sides (protocol/SPEC.md, "A saga").
//
// It does no I/O: receive takes a message of the other side and returns those to
// send. The strategy abort, which this peer does not speak, it answers with
// "unsupported". It has no change log, so its commit bears no cursor.
import { randomBytes } from 'node:crypto'
import { sha256 } from './gib.js'
import { fingerprint } from './fingerprint.js'
import { CREDIT, Receiving, Sending } from './payload.js'
import { MODES, Problem, STRATEGIES } from './wire.js'

const SEAL = 'seal' // the feature
const SMALL_MAP = 40 // hashes of a map that init takes along
const PAGE = 200 // entries or wants in one message that is sent
const MAX_PAGE = 2000
const MAX_HEADS = 1024
const MAX_KNOWN = 64
const MAX_HASHES = 2_097_152 // in all entries and wants of one side
const MAX_WORKING = 200

export class Saga {
  /**
   * store is what takes part, that of the share; role is 'I' or 'R'. The rest is for I: the
   * roots that it is about (none: all), the id of the share (none: the default share),
   * and what R is known to have forgotten.
   */
  constructor(store, { role, mode = 'sync', scope = [], share, without = [] }) {
    this.store = store
    this.role = role
    this.mode = mode
    this.scope = scope
    this.share = share
    this.without = without
    if (role === 'I') this.id = randomBytes(32).toString('hex').toUpperCase()

    this.mine = [] // this side's map, as it was at the beginning
    this.theirs = new Map() // root -> heads: the other side's, for every root that differs
    this.differing = new Set() // roots, known when both sides have spoken
    this.stage = 'init'
    this.listed = 0 // hashes that the other side has listed
    this.working = 0 // messages of nothing but that, in a row

    this.wants = [] // of the other side
    this.wantsDone = false // it has none but these
    this.wanted = new Set() // heads that this side wants
    this.sending = new Sending(store)
    this.receiving = new Receiving(store, { fresh: store.blocks.size === 0 })
    this.peerFresh = false

    this.seals = false // both sides know of seals
    this.isEqual = false
    this.result = undefined // what this side says in its commit: {digest, count}
    this.peerResult = undefined // the commit of the other side
  }

  /** finished says that no message will follow in either direction. */
  get finished() {
    return this.isEqual || (this.result !== undefined && this.peerResult !== undefined)
  }

  /** converged says that both sides stand at the same heads. */
  get converged() {
    const [a, b] = [this.result, this.peerResult]
    return this.isEqual || (a?.digest === b?.digest && (a?.count ?? 0) === (b?.count ?? 0) && !b?.aborted?.length)
  }

  /** hasMoved says whether either side has asked for something. */
  get hasMoved() {
    return this.wanted.size > 0 || this.wants.length > 0
  }

  // takes and gives say whether payload travels to this side, and from it.
  get takes() {
    return this.mode === 'sync' || (this.mode === 'pull') === (this.role === 'I')
  }

  get gives() {
    return this.mode === 'sync' || (this.mode === 'push') === (this.role === 'I')
  }

  /** start returns the init of the initiator. */
  start() {
    this.takeMap()
    this.leaveOut(this.without)
    this.sentComplete = this.mine.reduce((sum, { heads }) => sum + 1 + heads.length, 0) <= SMALL_MAP
    this.stage = 'ack'
    return [{
      kind: 'init',
      sagaId: this.id,
      features: [SEAL],
      mode: MODES.indexOf(this.mode),
      scope: this.share || this.scope.length > 0 ? { shareIds: this.share ? [this.share] : [], roots: [...this.scope].sort() } : undefined,
      fingerprint: fingerprint(this.mine),
      count: this.mine.length,
      entries: this.sentComplete ? this.mine : [],
      complete: this.sentComplete,
      fresh: this.receiving.fresh,
      credit: CREDIT,
      without: this.without.length > 0 ? sha256(Buffer.from([...this.without].sort().join(''), 'hex')) : undefined
    }]
  }

  /** receive takes a message and returns the answers. It throws a Problem. */
  receive(message) {
    const { kind, sagaId } = message
    if (this.role === 'R' && this.id === undefined) this.id = sagaId
    if (sagaId !== this.id || /^0*$/.test(sagaId)) throw new Problem('protocol', 'the id of another saga')
    if (this.finished || this.peerResult) throw new Problem('protocol', `${kind} after the end`)
    this.out = []
    this.working = kind === 'working' ? this.working + 1 : 0
    if (this.working > MAX_WORKING) throw new Problem('limit', 'working without end')
    switch (`${kind} in ${this.stage}`) {
      case 'init in init': this.takeInit(message); break
      case 'ack in ack': this.takeAck(message); break
      case 'delta in delta': this.takeDelta(message); break
      case 'commit in delta': this.takeCommit(message); break
      case 'working in ack':
      case 'working in delta': break
      default: throw new Problem('protocol', `${kind} in the stage ${this.stage}`)
    }
    if (this.stage === 'delta' && !this.isEqual) this.goOn()
    return this.out
  }

  send(kind, fields) {
    this.out.push({ kind, sagaId: this.id, ...fields })
  }

  // Knowledge

  takeMap() {
    const scope = new Set(this.scope)
    this.all = this.store.map().filter(({ root }) => scope.size === 0 || scope.has(root))
    this.leaveOut([])
  }

  // leaveOut takes what the other side has forgotten out of what is compared. This side
  // forgets nothing.
  leaveOut(roots = []) {
    this.forgotten = new Set(roots)
    this.mine = this.all.filter(({ root }) => !this.forgotten.has(root))
    this.myHeads = new Map(this.mine.map(({ root, heads }) => [root, heads]))
  }

  takeInit(init) {
    this.takeStrategy(init.strategy)
    this.mode = MODES[init.mode ?? 0]
    if (!this.mode) throw new Problem('unsupported', `mode ${init.mode}`)
    this.scope = init.scope?.roots ?? []
    this.sending.grant(init.credit ?? 0)
    this.peerFresh = init.fresh ?? false
    this.takeMap()
    this.leaveOut(init.forgotten)
    this.seals = init.features.includes(SEAL)
    const first = { features: [SEAL], fingerprint: fingerprint(this.mine), count: this.mine.length, credit: CREDIT }
    this.stage = 'delta'
    if (first.fingerprint === init.fingerprint && first.count === (init.count ?? 0) && !init.without) {
      this.send('ack', { equal: true, ...first })
      this.isEqual = true
      return
    }
    first.fresh = this.receiving.fresh
    if (!init.complete) {
      const pages = paged(this.mine)
      pages.forEach((entries, i) => this.send('ack', { ...(i === 0 ? first : {}), entries, needEntries: true, more: i < pages.length - 1 }))
      return
    }
    this.takeEntries(init.entries)
    this.entriesDone = true
    this.compare()
    // One page holds what belongs to the same roots, so that roots ascend in both lists.
    const pages = paged([...this.differing].sort())
    pages.forEach((roots, i) => this.send('ack', {
      ...(i === 0 ? first : {}),
      entries: roots.map((root) => ({ root, heads: this.myHeads.get(root) ?? [] })),
      wants: this.wantsOf(roots),
      more: i < pages.length - 1
    }))
  }

  // compare finds out where this side's map and that of the other one differ.
  compare() {
    for (const root of new Set([...this.theirs.keys(), ...this.myHeads.keys()])) {
      if (same(this.theirs.get(root), this.myHeads.get(root))) this.theirs.delete(root)
      else this.differing.add(root)
    }
  }

  takeStrategy(strategy = 0) {
    if (STRATEGIES[strategy] === undefined || STRATEGIES[strategy] === 'abort') throw new Problem('unsupported', `strategy ${strategy}`)
  }

  takeAck(ack) {
    if (this.needEntries === undefined) { // the first one
      this.takeStrategy(ack.strategy)
      if (!ack.fingerprint) throw new Problem('protocol', 'the first ack has no fingerprint')
      this.sending.grant(ack.credit ?? 0)
      this.peerFresh = ack.fresh ?? false
      this.seals = ack.features.includes(SEAL)
      this.leaveOut(ack.forgotten)
      if (ack.mode) {
        if (this.mode !== 'sync' || !MODES[ack.mode]) throw new Problem('protocol', `mode ${ack.mode}`)
        this.mode = MODES[ack.mode]
      }
      this.needEntries = ack.needEntries ?? false
    }
    if (ack.equal) {
      if (ack.fingerprint !== fingerprint(this.mine)) throw new Problem('protocol', 'equal, with another fingerprint')
      this.isEqual = true
      return
    }
    if ((ack.needEntries ?? false) !== this.needEntries || (this.needEntries && (this.sentComplete || ack.wants.length > 0))) {
      throw new Problem('protocol', 'acks that do not fit together')
    }
    this.takeEntries(ack.entries)
    this.takeWants(ack.wants)
    if (ack.more) return
    this.stage = 'delta'
    if (!this.needEntries) {
      for (const [root, heads] of this.theirs) {
        if (same(heads, this.myHeads.get(root))) throw new Problem('protocol', 'an entry that does not differ')
        this.differing.add(root)
      }
      this.wantsDone = true
    } else {
      this.compare()
      const entries = [...this.differing].sort().map((root) => ({ root, heads: this.myHeads.get(root) ?? [] }))
      const pages = paged(entries)
      pages.forEach((page, i) => this.send('delta', { entries: page, entriesDone: i === pages.length - 1 }))
    }
    this.sendWants()
  }

  // takeEntries takes heads of the other side; roots ascend over all messages.
  takeEntries(entries) {
    if (entries.length > MAX_PAGE) throw new Problem('limit', `${entries.length} entries`)
    for (const { root, heads = [] } of entries) {
      this.count(heads)
      if (this.lastEntry >= root) throw new Problem('protocol', 'roots that do not ascend')
      if (this.scope.length > 0 && !this.scope.includes(root)) throw new Problem('protocol', 'a root out of the scope')
      if (this.forgotten.has(root)) throw new Problem('protocol', 'an entry of what was forgotten')
      this.lastEntry = root
      this.theirs.set(root, heads)
    }
  }

  count(hashes) {
    this.listed += 1 + hashes.length
    if (hashes.length > MAX_HEADS || this.listed > MAX_HASHES) throw new Problem('limit', 'too many hashes')
    if (hashes.some((hash, i) => i > 0 && hashes[i - 1] >= hash)) throw new Problem('protocol', 'hashes that do not ascend')
  }

  // Wants

  // wantsOf says what this side lacks of the heads that the other side has named.
  wantsOf(roots) {
    if (!this.takes) return []
    const wants = []
    for (const root of roots) {
      const mine = this.myHeads.get(root) ?? []
      const history = new Set(mine.flatMap((head) => [...this.store.history(head)]))
      const heads = (this.theirs.get(root) ?? []).filter((head) => !history.has(head))
      if (heads.length === 0) continue
      heads.forEach((head) => this.wanted.add(head))
      wants.push({ root, heads, known: mine.length > 0 ? this.known(mine[0]) : [] })
    }
    return wants
  }

  // known lists frames below a head at the distances 1, 2, 4, 8 and so on, and the tjp.
  known(head) {
    const frames = [...this.store.history(head)] // newest first
    const picked = []
    for (let distance = 1; distance < frames.length - 1; distance *= 2) picked.push(frames[distance])
    return frames.length > 1 ? [...picked, frames.at(-1)].slice(-MAX_KNOWN) : picked
  }

  sendWants() {
    const pages = paged(this.wantsOf([...this.differing].sort()))
    pages.forEach((wants, i) => this.send('delta', { wants, wantsDone: i === pages.length - 1 }))
  }

  takeWants(wants) {
    if (wants.length > MAX_PAGE) throw new Problem('limit', `${wants.length} wants`)
    for (const { root, heads = [], known = [] } of wants) {
      this.count(heads)
      if (this.lastWant >= root) throw new Problem('protocol', 'roots that do not ascend')
      this.lastWant = root
      const named = this.myHeads.get(root) ?? []
      if (!this.gives || heads.length === 0 || known.length > MAX_KNOWN || !heads.every((head) => named.includes(head))) {
        throw new Problem('protocol', 'a want for a head that was not named')
      }
      this.wants.push({ root, heads, known })
    }
  }

  // Payload

  takeDelta(delta) {
    if (delta.entries.length > 0 || delta.entriesDone) this.takeLateEntries(delta)
    this.takeWants(delta.wants)
    if (delta.wantsDone) {
      if (this.wantsDone) throw new Problem('protocol', 'wants_done twice')
      this.wantsDone = true
    }
    this.sending.grant(delta.credit ?? 0)
    if (delta.answer) this.sending.takeAnswer(delta.answer)
    if ((delta.offers || delta.items.length > 0) && !this.takes) throw new Problem('protocol', 'payload in the wrong direction')
    if (delta.offers && this.wanted.size === 0) throw new Problem('protocol', 'offers to a side that wants nothing')
    const answers = delta.offers ? this.receiving.takeOffers(delta.offers) : []
    answers.push(...delta.items.flatMap((item) => this.receiving.takeItem(item)))
    answers.forEach((fields) => this.send('delta', fields))
    if (delta.done) this.receiving.takeDone(this.wanted)
  }

  // takeLateEntries takes what I says after acks with need_entries.
  takeLateEntries(delta) {
    if (this.role === 'I' || this.entriesDone) throw new Problem('protocol', 'entries that were not asked for')
    this.takeEntries(delta.entries)
    if (!delta.entriesDone) return
    this.entriesDone = true
    for (const [root, heads] of this.theirs) {
      if (same(heads, this.myHeads.get(root))) throw new Problem('protocol', 'an entry that does not differ')
      this.differing.add(root)
    }
    this.sendWants()
  }

  // plan lists what has to travel for the wants of the other side: all that the
  // wanted heads reach, without what the other side surely has.
  plan() {
    const named = [...this.theirs.values()].flat()
    const known = this.wants.flatMap((want) => want.known)
    const agreed = this.mine.filter(({ root }) => !this.differing.has(root)).flatMap(({ root }) => this.store.frames(root))
    const has = this.store.closure([...named, ...known, ...agreed])
    return this.store.closure(this.wants.flatMap((want) => want.heads), new Set(has))
  }

  // goOn sends what can be sent.
  goOn() {
    if (this.result) return
    if (!this.sending.planned && this.wantsDone && (this.role === 'I' || this.entriesDone)) {
      this.sending.begin(this.plan(), { unoffered: this.peerFresh })
    }
    this.sending.next().forEach((fields) => this.send('delta', fields))
    if (this.sending.done && this.receiving.done) this.commit()
  }

  // Commit

  commit() {
    const conflicts = []
    for (const root of this.differing) {
      const heads = (this.theirs.get(root) ?? []).filter((hash) => this.wanted.has(hash) && this.isOf(hash, root))
      if (this.takes && heads.length > 0) this.store.place(root, heads)
      if (this.store.entries.get(root)?.length > 1) conflicts.push(root)
    }
    let refused = 0
    for (const hash of this.receiving.arrived) { // timelines that came with what links to them
      const { ibGib, root } = this.store.blocks.get(hash)
      if (root && !this.differing.has(root) && !this.store.isMerge(ibGib)) this.store.place(root, [hash])
      if (!root && (ibGib.data?.isTjp || ibGib.rel8ns?.tjp?.length)) refused++
    }
    const agreed = this.agreed()
    this.result = { digest: fingerprint(agreed), count: agreed.length }
    this.send('commit', {
      ...this.result,
      received: this.receiving.received,
      conflicts: conflicts.sort(),
      refused,
      refusals: this.receiving.refusals
    })
  }

  // agreed are the entries that the result digest is about.
  agreed() {
    const entries = []
    for (const root of this.differing) {
      const own = this.gives ? this.myHeads.get(root) ?? [] : []
      const others = this.takes ? this.theirs.get(root) ?? [] : []
      const heads = this.store.newest([...own, ...others].filter((hash) => this.isOf(hash, root)))
      if (heads.length > 0) entries.push({ root, heads })
    }
    return entries
  }

  // isOf says whether a block is here and belongs to a timeline, or is the stone that
  // is its own root.
  isOf(hash, root) {
    const block = this.store.blocks.get(hash)
    return block !== undefined && (block.root ?? hash) === root
  }

  takeCommit(commit) {
    if (!this.sending.done || !this.receiving.done) throw new Problem('protocol', 'commit before done')
    this.peerResult = commit
  }
}

function same(a = [], b = []) {
  return a.length === b.length && a.every((x, i) => x === b[i])
}

// paged cuts a list into pages, at least one.
function paged(list) {
  const pages = []
  for (let i = 0; i < list.length; i += PAGE) pages.push(list.slice(i, i + PAGE))
  return pages.length > 0 ? pages : [[]]
}
