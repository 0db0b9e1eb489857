// A product's auth-server: a real Better Auth on a real Postgres. Before the move it does nothing
// else; with "authority" it moves sessions over, as docs/rollout.md says.
//
// Reads a line of JSON {"database", "secret", "authority": null or a gRPC target, "protos"}; makes
// Better Auth's tables where they are missing, serves on a free loopback port, and answers with a
// line of JSON {"port"}. Ends with its standard input.

import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import readline from 'node:readline'
import grpc from '@grpc/grpc-js'
import protoLoader from '@grpc/proto-loader'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { fromNodeHeaders, toNodeHandler } from 'better-auth/node'
import pg from 'pg'

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const asked = JSON.parse((await lines.next()).value)

const digest = (password) => createHash('sha256').update(password).digest('hex')
const options = {
  baseURL: 'http://127.0.0.1',
  secret: asked.secret,
  database: new pg.Pool({ connectionString: asked.database, max: 8 }),
  emailAndPassword: {
    enabled: true,
    // Hundreds sign up at once, and their passwords protect nothing: scrypt would take long.
    password: {
      hash: async (password) => digest(password),
      verify: async ({ hash, password }) =>
        timingSafeEqual(Buffer.from(hash), Buffer.from(digest(password))),
    },
  },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  logger: { level: 'error' },
}
const { runMigrations } = await getMigrations(options)
await runMigrations()
const auth = betterAuth(options)

function authority() {
  const definition = protoLoader.loadSync('token_authority/v1/token_authority_service.proto', {
    includeDirs: [asked.protos],
  })
  const { TokenAuthorityService } = grpc.loadPackageDefinition(definition).token_authority.v1
  const roundRobin = JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] })
  return new TokenAuthorityService(asked.authority, grpc.credentials.createInsecure(), {
    'grpc.service_config': roundRobin,
  })
}

const client = asked.authority && authority()
const issueTokens = (request) =>
  new Promise((resolve, reject) =>
    client.issueTokens(request, (failure, issued) => (failure ? reject(failure) : resolve(issued))),
  )

function requestId(sessionToken) {
  const digest = createHash('sha256').update('token-authority/move/v1').update(sessionToken).digest('hex')
  return digest.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, '$1-$2-$3-$4-$5')
}

// Moves the session of the request's cookie over.
async function move(request, response) {
  const found = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) })
  if (!found) return response.writeHead(401).end()
  const issued = await issueTokens({
    userId: found.user.id,
    requestId: requestId(found.session.token),
  })
  response.setHeader('set-cookie', `refreshToken=${issued.refreshToken}; Path=/api/auth; HttpOnly`)
  response.end(JSON.stringify({ userId: found.user.id, accessToken: issued.accessToken }))
}

const betterAuthHandler = toNodeHandler(auth)
const server = createServer((request, response) => {
  if (!client || request.url !== '/move') return betterAuthHandler(request, response)
  move(request, response).catch((failure) => response.writeHead(500).end(String(failure)))
})
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
await lines.next()
process.exit(0)
