// Calls ValidateToken through grpc-js under round_robin.
//
// Reads a line of JSON {"target", "key"} and calls until another line comes. Then writes a line of
// JSON {"calls", "failures"}.

import readline from 'node:readline'

// The resolver that asks the name server in the target. The usual one asks the operating system.
process.env.GRPC_NODE_USE_ALTERNATIVE_RESOLVER = 'true'
const { default: grpc } = await import('@grpc/grpc-js')

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const { target, key } = JSON.parse((await lines.next()).value)
const path = '/token_authority.v1.TokenAuthorityService/ValidateToken'
// A ValidateTokenRequest with the token `x`.
const request = Buffer.from([0x0a, 0x01, 0x78])
const client = new grpc.Client(target, grpc.credentials.createInsecure(), {
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  // With the usual 30 s between two look-ups, the test would take as long.
  'grpc.dns_min_time_between_resolutions_ms': 200,
})
const metadata = new grpc.Metadata()
metadata.set('authorization', `Bearer ${key}`)
const same = (bytes) => bytes
const call = () =>
  new Promise((resolve) => {
    const options = { deadline: Date.now() + 15_000 }
    client.makeUnaryRequest(path, same, same, request, metadata, options, resolve)
  })

let ended = false
lines.next().then(() => (ended = true))
let calls = 0
const failures = []
while (!ended) {
  const error = await call()
  if (error) failures.push(String(error))
  calls += 1
  await new Promise((resolve) => setTimeout(resolve, 10))
}
console.log(JSON.stringify({ calls, failures }))
process.exit(0)
