// The text of a JSON value that enters a hash: json(v) of protocol/SPEC.md,
// "ibGib and gib".
//
// It was defined by JavaScript, so here it is short. What other languages have to
// write by hand is done by the engine: numbers and strings are printed by
// JSON.stringify, and an object keeps its members with those that are array indices
// ("0" to "4294967294") first, by number, and the others as they were added.

/** json returns the canonical text of a JSON value, such as JSON.parse makes. */
export function json(value) {
  return JSON.stringify(sorted(value))
}

// sorted sorts the members of objects by their UTF-16 code units, which is what
// sort() compares, but not inside arrays: what is in there keeps its order.
function sorted(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value
  const out = Object.create(null)
  for (const name of Object.keys(value).sort()) out[name] = sorted(value[name])
  return out
}

/** isNone says whether a value counts as no data. */
export function isNone(value) {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return true
  return typeof value === 'object' && !(value instanceof Uint8Array) && Object.keys(value).length === 0
}

/** depth is how deep a value nests; a scalar has depth 1. It stops at limit + 1. */
export function depth(value, limit) {
  if (limit === 0 || value === null || typeof value !== 'object') return 1
  return 1 + Math.max(0, ...Object.values(value).map((v) => depth(v, limit - 1)))
}

/** names calls visit with the name of every member in a value, however deep. */
export function names(value, visit) {
  if (value === null || typeof value !== 'object') return
  for (const [name, v] of Object.entries(value)) {
    if (!Array.isArray(value)) visit(name)
    names(v, visit)
  }
}
