// The transcript of a saga: a small timeline that both sides compute alike and that
// does not travel (protocol/SPEC.md, "Transcript").
import { sha256, addrOf, make } from './gib.js'

const ORDER = ['init I', 'ack R', 'delta I', 'delta R', 'commit I', 'commit R']

export class Transcript {
  stages = new Map(ORDER.map((name) => [name, []])) // digests of messages

  /** peers are the ids of I and R, sessions the addresses of the first frames of their session keystones, if they have any. */
  constructor(peers, sessions = []) {
    this.peers = peers.map(String)
    this.sessions = sessions
  }

  /** add takes a message of a side as it travelled. */
  add(role, { kind, sagaId }, bytes) {
    this.id = sagaId.toLowerCase()
    this.stages.get(`${kind} ${role}`)?.push(sha256(bytes))
  }

  /** frames returns the frames, each with its stone before it. */
  frames() {
    const out = []
    let first, last
    for (const [name, digests] of this.stages) {
      if (digests.length === 0) continue
      const [stage, role] = name.split(' ')
      const side = role === 'I' ? 0 : 1
      const stone = make(`sync_msg ${this.id} ${stage}`, {
        sagaId: this.id,
        stage,
        from: this.peers[side],
        messages: digests.length,
        digest: sha256(Buffer.from(digests.join(''), 'hex')).toLowerCase()
      }, { ancestor: ['sync_msg^gib'] })
      const links = { ancestor: ['sync^gib'], syncmsg: [addrOf(stone)] }
      if (this.sessions[side]) links.identity = [this.sessions[side]]
      if (last) Object.assign(links, { past: [addrOf(last)], tjp: [addrOf(first)] })
      last = make(`sync ${this.id}`, { uuid: this.id, stage, ...(first ? {} : { isTjp: true }) }, links)
      first ??= last
      out.push(stone, last)
    }
    return out
  }
}
