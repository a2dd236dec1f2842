// Messages as bytes (protocol/SPEC.md, "Framing", "Encoding" and "Schema").
//
// A message is an object {kind, sagaId, ...fields}; what is absent on the wire is
// undefined, or an empty list where a field is repeated. Hashes are text of 64
// upper-case hex digits, and so are saga ids and digests. Numbers above 2^53, which
// no honest peer sends, are refused.
import { varint } from './gib.js'

const MAX_MESSAGE = 2 << 20 // bytes, without the length before it
const TIMEOUT = 60_000 // milliseconds without anything from the other side

/** Problem is what ends a saga or a meeting, at this side or at the other one. */
export class Problem extends Error {
  constructor(code, text, { retry = false, remote = false, reason } = {}) {
    super(`${remote ? 'the other side: ' : ''}${code}: ${text}`)
    this.code = code
    this.text = text
    this.retry = retry
    this.reason = reason // of untrusted: why a session is refused
    this.remote = remote // it came from the other side
  }
}

const CODES = [
  '', 'internal', 'protocol', 'refused', 'limit', 'untrusted', 'busy', 'timeout', 'unsupported', 'canceled', 'unreachable'
]
export const MODES = ['sync', 'pull', 'push']
export const STRATEGIES = ['optimistic', 'manual', 'abort']

// A schema has for each field its number, its type, and whether it is repeated or
// required. A type is one of those below, or the schema of a message.
const list = (number, type) => ({ number, type, repeated: true })
const must = (number, type) => ({ number, type, required: true })
const field = (number, type) => ({ number, type })

const Entry = { root: must(1, 'hash'), heads: field(2, 'hashes') }
const Want = { root: must(1, 'hash'), heads: field(2, 'hashes'), known: field(3, 'hashes') }
const Scope = { shareIds: list(1, 'text'), roots: field(2, 'hashes') }
const Cursor = { epoch: must(1, 'bytes'), sequence: field(2, 'uint') }
const Answer = { count: field(1, 'uint'), lacks: field(2, 'bytes') }
const Chunk = { hash: must(1, 'hash'), offset: field(2, 'uint'), total: field(3, 'uint'), piece: field(4, 'bytes') }
const Item = { full: field(1, 'bytes'), chunk: field(2, Chunk) }
const Totals = { ibGibs: field(1, 'uint'), bytes: field(2, 'uint') }
const Refusal = { hash: field(1, 'hash'), rule: field(2, 'text'), detail: field(3, 'text') }

const KINDS = {
  init: {
    number: 2,
    type: {
      features: list(1, 'text'), mode: field(2, 'uint'), strategy: field(3, 'uint'), scope: field(4, Scope),
      fingerprint: must(5, 'hash'), count: field(6, 'uint'), cursor: field(7, Cursor), entries: list(8, Entry),
      complete: field(9, 'bool'), fresh: field(11, 'bool'), credit: field(12, 'uint'), forgotten: field(13, 'hashes'),
      without: field(14, 'hash')
    }
  },
  ack: {
    number: 3,
    type: {
      features: list(1, 'text'), mode: field(2, 'uint'), strategy: field(3, 'uint'), equal: field(4, 'bool'), fingerprint: field(5, 'hash'),
      count: field(6, 'uint'), entries: list(8, Entry), needEntries: field(9, 'bool'), fresh: field(11, 'bool'),
      credit: field(12, 'uint'), wants: list(13, Want), more: field(14, 'bool'),
      forgotten: field(15, 'hashes')
    }
  },
  delta: {
    number: 4,
    type: {
      offers: field(1, 'hashes'), answer: field(2, Answer), items: list(3, Item), done: field(4, 'bool'),
      entries: list(8, Entry), entriesDone: field(9, 'bool'), credit: field(12, 'uint'), wants: list(13, Want),
      wantsDone: field(14, 'bool')
    }
  },
  commit: {
    number: 5,
    type: {
      digest: must(1, 'hash'), count: field(2, 'uint'), received: field(3, Totals), conflicts: field(4, 'hashes'),
      refused: field(5, 'uint'), cursor: field(7, Cursor), aborted: field(8, 'hashes'),
      refusals: list(9, Refusal)
    }
  },
  error: { number: 6, type: { code: field(1, 'uint'), text: field(2, 'text'), retry: field(3, 'bool'), reason: field(5, 'text') } },
  hello: {
    number: 7,
    type: {
      features: list(1, 'text'), genesis: field(2, 'text'), session: field(3, 'text'), nonce: must(4, 'bytes'),
      meshSecretProof: field(6, 'bytes'), inviteProof: field(7, 'bytes'), known: field(8, 'hash'),
      sessionKnown: field(9, 'hash')
    }
  },
  notice: { number: 8, type: { shareId: field(1, 'text'), timelines: list(2, Entry) } },
  keystoneFrames: {
    number: 9,
    type: {
      genesis: field(1, 'text'), known: field(2, 'hash'), reply: field(3, 'bool'), frames: list(4, 'bytes'),
      more: field(5, 'bool')
    }
  },
  working: { number: 10, type: {} },
  seal: { number: 11, type: { frame: must(1, 'bytes') } },
  fetch: { number: 12, type: { target: must(1, 'hash'), wants: field(2, 'hashes'), ahead: field(3, 'bool') } },
  fetched: { number: 13, type: { items: list(1, Item), absent: field(2, 'hashes'), ahead: field(3, 'hashes') } }
}
const ENVELOPE = { sagaId: field(1, 'hash'), ...KINDS }

const VARINT = 0 // the wire types in use
const BYTES = 2
const isVarint = (type) => type === 'uint' || type === 'bool'

const fromHex = (hex) => Buffer.from(hex, 'hex')
const toHex = (bytes) => Buffer.from(bytes).toString('hex').toUpperCase()

/** encodeMessage returns a message without the length before it. */
export function encodeMessage({ kind, sagaId, ...fields }) {
  return encodeFields(ENVELOPE, { sagaId, [kind]: fields })
}

// encodeFields writes fields in ascending order and leaves out what is absent, zero,
// false or empty.
function encodeFields(schema, message) {
  const parts = []
  const byNumber = Object.entries(schema).sort(([, a], [, b]) => a.number - b.number)
  for (const [name, { number, type, repeated }] of byNumber) {
    const values = repeated ? message[name] ?? [] : [message[name]]
    for (const value of values) {
      if (value === undefined) continue
      if (isVarint(type)) {
        if (Number(value) !== 0) parts.push(varint(number * 8 + VARINT), varint(Number(value)))
        continue
      }
      const bytes = encodeValue(type, value)
      if (bytes.length === 0 && !repeated && typeof type === 'string') continue
      parts.push(varint(number * 8 + BYTES), varint(bytes.length), bytes)
    }
  }
  return Buffer.concat(parts)
}

function encodeValue(type, value) {
  switch (type) {
    case 'bytes': return value
    case 'text': return Buffer.from(value)
    case 'hash': return fromHex(value)
    case 'hashes': return fromHex(value.join(''))
    default: return encodeFields(type, value)
  }
}

/** decodeMessage is the reverse. It throws a Problem. */
export function decodeMessage(bytes) {
  const { sagaId, ...rest } = decodeFields(ENVELOPE, bytes)
  const kinds = Object.keys(rest).filter((kind) => rest[kind] !== undefined)
  if (kinds.length === 0) throw new Problem('unsupported', 'a message of an unknown kind')
  if (kinds.length > 1) throw new Problem('protocol', `a message of several kinds: ${kinds}`)
  return { kind: kinds[0], sagaId, ...rest[kinds[0]] }
}

function decodeFields(schema, bytes) {
  const out = {}
  for (const [name, { repeated }] of Object.entries(schema)) out[name] = repeated ? [] : undefined
  const reader = new Reader(bytes)
  while (!reader.atEnd()) {
    const tag = reader.varint()
    const [number, wireType] = [Math.floor(tag / 8), tag % 8]
    const [name, known] = Object.entries(schema).find(([, f]) => f.number === number) ?? []
    if (!known) {
      reader.skip(wireType)
      continue
    }
    if (wireType !== (isVarint(known.type) ? VARINT : BYTES)) throw new Problem('protocol', `field ${name} has another wire type`)
    const value = decodeValue(known.type, reader, name)
    if (known.repeated) out[name].push(value)
    else if (out[name] !== undefined) throw new Problem('protocol', `field ${name} comes twice`)
    else out[name] = value
  }
  for (const [name, { required }] of Object.entries(schema)) {
    if (required && out[name] === undefined) throw new Problem('protocol', `field ${name} is missing`)
  }
  return out
}

function decodeValue(type, reader, name) {
  if (isVarint(type)) {
    const n = reader.varint()
    if (type === 'uint') return n
    if (n > 1) throw new Problem('protocol', `field ${name} is no bool`)
    return n === 1
  }
  const bytes = reader.bytes(reader.varint())
  switch (type) {
    case 'bytes': return bytes
    case 'text':
      try {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
      } catch {
        throw new Problem('protocol', `field ${name} is not UTF-8`)
      }
    case 'hash':
      if (bytes.length !== 32) throw new Problem('protocol', `field ${name} is no hash`)
      return toHex(bytes)
    case 'hashes':
      if (bytes.length % 32 !== 0) throw new Problem('protocol', `field ${name} is no list of hashes`)
      return toHex(bytes).match(/.{64}/g) ?? []
    default: return decodeFields(type, bytes)
  }
}

class Reader {
  constructor(bytes) {
    this.rest = bytes
  }

  atEnd() {
    return this.rest.length === 0
  }

  varint() {
    let value = 0
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes(1)[0]
      value += (byte & 0x7f) * 2 ** (7 * i)
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) throw new Problem('limit', 'a number above 2^53')
        return value
      }
    }
    throw new Problem('protocol', 'a varint of more than 10 bytes')
  }

  bytes(length) {
    if (length > this.rest.length) throw new Problem('protocol', 'the message ends within a field')
    const bytes = this.rest.subarray(0, length)
    this.rest = this.rest.subarray(length)
    return bytes
  }

  skip(wireType) {
    switch (wireType) {
      case VARINT: return void this.varint()
      case BYTES: return void this.bytes(this.varint())
      case 1: return void this.bytes(8)
      case 5: return void this.bytes(4)
      default: throw new Problem('protocol', `wire type ${wireType}`)
    }
  }
}

/** Conn reads and writes messages on a libp2p stream. */
export class Conn {
  /** connection is the id of the connection that the stream is on. */
  constructor(stream, connection) {
    this.stream = stream
    this.connection = connection
    this.chunks = stream[Symbol.asyncIterator]()
    this.buffer = Buffer.alloc(0)
  }

  /** send takes a message, and waits while the stream takes no more. It returns the bytes of the message. */
  async send(message) {
    const bytes = encodeMessage(message)
    if (!this.stream.send(Buffer.concat([varint(bytes.length), bytes]))) await this.stream.onDrain()
    return bytes
  }

  /**
   * receive returns the next message with its bytes: {message, bytes}, or undefined
   * when the other side has closed its direction. An error of the other side is
   * thrown.
   */
  async receive() {
    const length = await this.length()
    if (length === undefined) return undefined
    if (length === 0 || length > MAX_MESSAGE) throw new Problem('protocol', `a message of ${length} bytes`)
    const bytes = await this.take(length)
    const message = decodeMessage(bytes)
    if (message.kind === 'error') {
      this.stream.abort(new Error('the other side has sent an error'))
      const { code, text = '', retry = false, reason } = message
      throw new Problem(CODES[code] || 'internal', text, { retry, remote: true, reason })
    }
    return { message, bytes }
  }

  /** end waits for the other side to close its direction. */
  async end() {
    if (await this.receive()) throw new Problem('protocol', 'a message after the last one')
  }

  /** close says that nothing more will be sent. */
  async close() {
    await this.stream.close()
  }

  /** fail sends an error and lets go of the stream. */
  async fail(problem, sagaId) {
    if (problem.remote) return
    try {
      const { code, text, retry, reason } = problem
      await this.send({ kind: 'error', sagaId, code: CODES.indexOf(code), text: text.slice(0, 200), retry, reason })
      await this.close()
    } catch {
      // The stream is gone already.
    }
  }

  async length() {
    let value = 0
    for (let i = 0; i < 4; i++) {
      if (!(await this.fill(1))) {
        if (i > 0) throw new Problem('protocol', 'the stream ends within a message')
        return undefined
      }
      const byte = this.buffer[0]
      this.buffer = this.buffer.subarray(1)
      value += (byte & 0x7f) * 2 ** (7 * i)
      if (byte < 0x80) {
        if (byte === 0 && i > 0) throw new Problem('protocol', 'a length that is not in its shortest form')
        return value
      }
    }
    throw new Problem('protocol', 'a length of more than 4 bytes')
  }

  async take(length) {
    if (!(await this.fill(length))) throw new Problem('protocol', 'the stream ends within a message')
    const bytes = this.buffer.subarray(0, length)
    this.buffer = this.buffer.subarray(length)
    return bytes
  }

  // fill says whether that many bytes are there before the stream ends.
  async fill(length) {
    while (this.buffer.length < length) {
      const { done, value } = await this.nextChunk()
      if (done) return false
      this.buffer = Buffer.concat([this.buffer, value.subarray()])
    }
    return true
  }

  async nextChunk() {
    let timer
    const tooLong = new Promise((_, reject) => {
      timer = setTimeout(reject, TIMEOUT, new Problem('timeout', 'nothing has come for a minute'))
    })
    try {
      return await Promise.race([this.chunks.next(), tooLong])
    } catch (err) {
      throw err instanceof Problem ? err : new Problem('unreachable', err.message)
    } finally {
      clearTimeout(timer)
    }
  }
}
