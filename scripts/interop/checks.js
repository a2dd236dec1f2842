// A list of named checks, which go on when one fails.

const counts = { passed: 0, failed: 0 }

/** check runs one and prints how it went. It returns whether it passed. */
export async function check(name, run) {
  try {
    const detail = await run()
    counts.passed++
    console.log(`ok    ${name}${detail ? ` (${detail})` : ''}`)
    return true
  } catch (err) {
    counts.failed++
    console.log(`FAIL  ${name}\n      ${err.stack ?? err}`)
    return false
  }
}

/** summary prints the counts, and sets the exit code. */
export function summary() {
  console.log(`\n${counts.passed} passed, ${counts.failed} failed`)
  process.exitCode = counts.failed === 0 ? 0 : 1
}

/** until waits for a condition, a minute at most. */
export async function until(what, condition) {
  for (let i = 0; i < 600; i++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`not within a minute: ${what}`)
}
