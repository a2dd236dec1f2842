// ibGibs: their addresses, hashes and stored form (protocol/SPEC.md, "Definitions").
//
// An ibGib is an object {ib, gib, data, rel8ns}; data and rel8ns may be missing, and
// data is a JSON value or a Uint8Array. A hash is text here, 64 upper-case hex
// digits; wire.js has them as bytes.
import { createHash } from 'node:crypto'
import { depth, isNone, json, names } from './canonical-json.js'

const MAX_JSON = 4 << 20 // bytes of a stored form with JSON data
const MAX_BYTES = 64 << 20 // of bytes data
const MAX_DEPTH = 64
const MAX_ADDRESSES = 100_000
const BINARY = 0xb1 // the first byte of a stored form with bytes

/** Refused says which rule an ibGib breaks. */
export class Refused extends Error {
  constructor(rule, detail) {
    super(`${rule}: ${detail}`)
    this.rule = rule
    this.detail = detail
  }
}

export function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex').toUpperCase()
}

// H of the definitions.
function H(text) {
  return text === '' ? '' : sha256(text)
}

/** gibOf computes the gib of an ibGib from its other members. */
export function gibOf({ ib, data, rel8ns }) {
  const relHash = hasLinks(rel8ns) ? H(json(rel8ns)) : ''
  const dataHash = data instanceof Uint8Array ? sha256(data) : isNone(data) ? '' : H(json(data))
  const hash = H(H(ib) + relHash + dataHash)
  if (data?.isTjp || !rel8ns?.tjp?.length) return hash
  return `${hash}.${parse(rel8ns.tjp.at(-1)).gib}`
}

/** make returns the ibGib with these members and its gib. */
export function make(ib, data, rel8ns) {
  return { ib, gib: gibOf({ ib, data, rel8ns }), data, rel8ns }
}

export function addrOf({ ib, gib }) {
  return `${ib}^${gib}`
}

/** parse takes an address apart: {ib, gib, hash, tjpGib, isPrimitive}. */
export function parse(addr) {
  const at = typeof addr === 'string' ? addr.lastIndexOf('^') : -1
  const ib = addr.slice?.(0, at)
  const gib = addr.slice?.(at + 1)
  if (at < 1 || ib.includes('^') || !ib.isWellFormed() || !(gib === 'gib' || /^[0-9A-F]{64}(\.[0-9A-F]{64})*$/.test(gib))) {
    throw new Refused('address', JSON.stringify(addr))
  }
  const dot = gib.indexOf('.')
  return {
    ib,
    gib,
    isPrimitive: gib === 'gib',
    hash: dot < 0 ? gib : gib.slice(0, dot),
    tjpGib: dot < 0 ? undefined : gib.slice(dot + 1)
  }
}

/** links are all addresses that an ibGib links to, without primitives. */
export function links({ rel8ns }) {
  return Object.values(rel8ns ?? {}).flat().filter((addr) => !addr.endsWith('^gib'))
}

function hasLinks(rel8ns) {
  return Object.values(rel8ns ?? {}).some((list) => list.length > 0)
}

/** encode returns the stored form of an ibGib, which is also what travels. */
export function encode({ ib, gib, data, rel8ns }) {
  const members = [`"ib":${JSON.stringify(ib)}`, `"gib":${JSON.stringify(gib)}`]
  const binary = data instanceof Uint8Array
  if (!binary && !isNone(data)) members.push(`"data":${json(data)}`)
  if (hasLinks(rel8ns)) members.push(`"rel8ns":${json(rel8ns)}`)
  const text = Buffer.from(`{${members.join(',')}}`)
  return binary ? Buffer.concat([Buffer.from([BINARY]), varint(text.length), text, data]) : text
}

/**
 * decode reads a stored form. It throws a Refused for everything that must not be
 * taken from outside, so what it returns is an ibGib whose gib fits its content.
 */
export function decode(bytes) {
  const ibGib = bytes[0] === BINARY ? decodeBinary(bytes) : decodeText(bytes)
  check(ibGib)
  // This also finds other members, members that come twice, and numbers that no
  // float64 can hold: the text that is made from what was read is not the same then.
  if (Buffer.compare(encode(ibGib), bytes) !== 0) throw new Refused('canonical', 'this is not the stored form')
  if (gibOf(ibGib) !== ibGib.gib) throw new Refused('gib', `${addrOf(ibGib)} has other content`)
  return ibGib
}

function decodeText(bytes) {
  if (bytes.length > MAX_JSON) throw new Refused('size', `${bytes.length} bytes`)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch (err) {
    throw new Refused('json', err.message)
  }
}

function decodeBinary(bytes) {
  let length = 0
  let at = 1
  for (; at < 6; at++) {
    length += (bytes[at] & 0x7f) * 2 ** (7 * (at - 1))
    if (!(bytes[at] & 0x80)) break
  }
  at++
  if (at + length > bytes.length) throw new Refused('json', 'the header is longer than the whole')
  const header = decodeText(bytes.subarray(at, at + length))
  const data = bytes.subarray(at + length)
  if (data.length > MAX_BYTES) throw new Refused('size', `${data.length} bytes`)
  if (isJSON(data)) throw new Refused('binary', 'these bytes are JSON data')
  return { ...header, data }
}

// isJSON says whether bytes are json(v) of a value v that is data.
function isJSON(bytes) {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const value = JSON.parse(text)
    return !isNone(value) && json(value) === text
  } catch {
    return false
  }
}

// check applies the rules that the gib does not cover.
function check({ ib, gib, data, rel8ns }) {
  const { isPrimitive } = parse(`${ib}^${gib}`)
  if (typeof ib !== 'string' || isPrimitive) throw new Refused('primitive', `${ib}^${gib}`)
  if (rel8ns !== undefined && !isMap(rel8ns)) throw new Refused('rel8ns', 'is no object')
  let count = 0
  for (const [name, list] of Object.entries(rel8ns ?? {})) {
    if (!name.isWellFormed() || !Array.isArray(list)) throw new Refused('rel8ns', JSON.stringify(name))
    count += list.length
    if (count > MAX_ADDRESSES) throw new Refused('addresses', `more than ${MAX_ADDRESSES}`)
    list.forEach(parse)
  }
  if (data?.isTjp && rel8ns?.tjp?.length === 0) throw new Refused('tjp', 'isTjp and a tjp list that is empty')
  if (data instanceof Uint8Array) return
  if (depth(data, MAX_DEPTH) > MAX_DEPTH) throw new Refused('depth', `data nests deeper than ${MAX_DEPTH}`)
  names([data, rel8ns], (name) => {
    if (name === '__proto__') throw new Refused('name', '__proto__')
  })
  if (!hasLinks(rel8ns) && couldBeLinks(data)) throw new Refused('swap', 'data could be the rel8ns of the same gib')
}

function couldBeLinks(data) {
  if (!isMap(data) || !Object.values(data).every(Array.isArray) || !hasLinks(data)) return false
  try {
    Object.values(data).flat().forEach(parse)
    return true
  } catch {
    return false
  }
}

function isMap(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** varint returns an unsigned varint (LEB128) in its shortest form. */
export function varint(n) {
  const out = []
  for (; n > 0x7f; n = Math.floor(n / 128)) out.push((n % 128) | 0x80)
  return Uint8Array.from([...out, n])
}
