// Checks this code against the golden data of the repository and the exchanges that
// SPEC.md shows in hex.
//
//   node vectors.js
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { check, summary } from './checks.js'
import { decode, encode, gibOf, make } from './gib.js'
import { Keystone } from './keystone.js'
import { solve } from './keystone-rules.js'
import { Transcript } from './transcript.js'
import { decodeMessage, encodeMessage } from './wire.js'

const root = new URL('../../', import.meta.url)
const read = (path) => readFile(new URL(path, root), 'utf8')

// What the TypeScript implementation hashes and nobody may take from outside.
const REFUSED = {
  'data number overflow': 'canonical', 'keys duplicate': 'canonical', 'proto key': 'name', 'proto key only': 'name',
  'swap: as data': 'swap', 'isTjp with empty tjp list': 'tjp'
}

await check('golden gibs', async () => {
  const { cases } = JSON.parse(await read('ibgib/testdata/gib.json'))
  for (const { name, json, binary, ib, gib, hash } of cases) {
    const ibGib = binary === undefined ? JSON.parse(json) : { ib, data: Uint8Array.from(Buffer.from(binary, 'base64')) }
    if (REFUSED[name]) {
      // The text as it stands, with a gib: members that come twice are gone in ibGib.
      const text = json.trim().replace(/^\{/, `{"gib":"${gib ?? hash ?? gibOf(ibGib)}",`)
      const bytes = REFUSED[name] === 'canonical' ? Buffer.from(text) : encode({ ...ibGib, gib: gibOf(ibGib) })
      assert.throws(() => decode(bytes), { rule: REFUSED[name] }, name)
      continue
    }
    assert.equal(gibOf(ibGib), gib ?? hash, name)
    const stored = encode({ ...ibGib, gib: gib ?? hash })
    assert.deepEqual(encode(decode(stored)), stored, name)
  }
  return `${cases.length} cases`
})

await check('golden keystones', async () => {
  const { strategies, timelines } = JSON.parse(await read('keystone/testdata/keystone.json'))
  for (const { masterSecret, challengeId, solution, challenge, ...config } of strategies) {
    assert.deepEqual(solve(masterSecret, challengeId, config), { solution, challenge })
  }
  for (const { steps } of timelines) Keystone.read(steps.filter((step) => step.frame).map((step) => encode(step.frame)))
  return `${strategies.length} derivations, ${timelines.length} timelines`
})

// Each on a golden frame, which has no co-signature that would catch it.
const FORGERIES = {
  'a wrong solution': ({ proofs }) => { proofs[0].solutions[0].value = '00'.repeat(32) },
  'a solution less': ({ proofs }) => { proofs[0].solutions.pop() },
  'a solution twice': ({ proofs }) => { proofs[0].solutions.push(proofs[0].solutions[0]) },
  'another target': ({ proofs }) => { proofs[0].claim.target = `x^${'9A'.repeat(32)}` },
  'no verb': ({ proofs }) => { delete proofs[0].claim.verb },
  'no proof': (data) => { data.proofs = [] },
  'a challenge changed': ({ challengePools }) => { Object.values(challengePools[0].challenges)[0].hash = '00'.repeat(32) },
  'another pool changed': ({ challengePools }) => { challengePools[1].challenges = {} },
  'a pool less': ({ challengePools }) => { challengePools.pop() },
  'another config': ({ challengePools }) => { challengePools[0].config.behavior.selectRandomly = 0 },
  'n skipped': (data) => { data.n++ },
  'another uuid': (data) => { data.uuid = '0'.repeat(64) },
  'a revocation without its verb': (data) => { data.revocationInfo = { reason: 'x', proof: data.proofs[0] } }
}

await check('forged frames of keystones', async () => {
  const [{ steps: [first, second] }] = JSON.parse(await read('keystone/testdata/keystone.json')).timelines
  for (const [name, forge] of Object.entries(FORGERIES)) {
    const { ib, data, rel8ns } = structuredClone(second.frame)
    forge(data)
    assert.throws(() => Keystone.read([encode(first.frame), encode(make(ib, data, rel8ns))]), name)
  }
  return `${Object.keys(FORGERIES).length} of them`
})

// Bytes that protoc made. Of derived items, which nobody sends yet, nothing is read; and
// this peer vouches for nobody.
const UNSPOKEN = ['delta_items.hex', 'vouch.hex']

await check('golden messages', async () => {
  const dir = new URL('protocol/testdata/messages/', root)
  const names = (await readdir(dir)).filter((name) => name.endsWith('.hex') && !UNSPOKEN.includes(name))
  for (const name of names) {
    const bytes = Buffer.from((await readFile(new URL(name, dir), 'utf8')).replace(/\s/g, ''), 'hex')
    assert.deepEqual(encodeMessage(decodeMessage(bytes)), bytes, name)
  }
  return `${names.length} messages`
})

await check('the exchanges in SPEC.md', async () => {
  const spec = await read('protocol/SPEC.md')
  const blocks = [...spec.matchAll(/<!-- \w+ -->\n```text\n(.*?)```/gs)].map(([, text]) => text)
  let count = 0
  for (const block of blocks) {
    const [exchange, lines] = block.split('transcript\n')
    const transcript = new Transcript(['initiator', 'responder'])
    for (const part of exchange.split(/^(?=\w+ to \w+: )/m).filter((p) => / to /.test(p.split('\n')[0]))) {
      const [head, ...hex] = part.trim().split('\n')
      const bytes = Buffer.from(hex.map((line) => line.replace(/#.*/, '').trim()).join(''), 'hex')
      const size = Number(head.match(/(\d+) bytes/)[1])
      assert.equal(bytes.length, size)
      const body = bytes.subarray(size > 129 ? 2 : 1)
      const message = decodeMessage(body)
      assert.deepEqual(encodeMessage(message), body)
      if (message.sagaId) transcript.add(head.startsWith('initiator') ? 'I' : 'R', message, body)
      count++
    }
    if (!lines) continue
    const frames = transcript.frames().map((frame) => encode(frame).toString())
    assert.deepEqual(frames, lines.trim().split('\n').map((line) => line.trim()))
  }
  return `${blocks.length} exchanges, ${count} messages`
})

summary()
