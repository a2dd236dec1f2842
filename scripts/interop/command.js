// Commands of ibgib-node on the data directory of a node that runs.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** command returns a function that runs a command and returns what it prints; its json parses that. */
export function command(program, data) {
  const run = async (...args) => {
    const { stdout } = await promisify(execFile)(program, [...args, '--data', data], { maxBuffer: 64 << 20, timeout: 60_000 })
    return stdout.trim()
  }
  run.json = async (...args) => JSON.parse(await run(...args, '--json'))
  return run
}
