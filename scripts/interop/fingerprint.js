// Digests over timelines and their heads (protocol/SPEC.md, "Entry digest",
// "Fingerprint" and "Result digest").
import { sha256 } from './gib.js'

/** fingerprint is the digest over entries [{root, heads}], in any order. */
export function fingerprint(entries) {
  const sum = entries.reduce((total, entry) => total + entryDigest(entry), 0n) % (1n << 256n)
  const bytes = Buffer.alloc(40)
  bytes.set(Buffer.from(sum.toString(16).padStart(64, '0'), 'hex').reverse())
  bytes.writeBigUInt64LE(BigInt(entries.length), 32)
  return sha256(bytes)
}

// entryDigest is a digest read as a little-endian integer.
function entryDigest({ root, heads }) {
  const digest = sha256(Buffer.from(root + [...heads].sort().join(''), 'hex'))
  return BigInt('0x' + Buffer.from(digest, 'hex').reverse().toString('hex'))
}
