// What js-libp2p needs and Node.js 20 does not have yet. To be imported before it.
Promise.withResolvers ??= function () {
  const out = {}
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }))
  return out
}
