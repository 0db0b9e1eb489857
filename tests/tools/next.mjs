// Builds and serves a Next.js app with the rewrites of docs/guides/in-the-page.md.
//
// Reads a line of JSON {"authority", "config"} and answers with a line of JSON {"port"}. Ends with its
// standard input.
//
// The app is built for production. `next dev` would compile at the first request and watch the folder
// of all packages, which takes minutes on a busy machine.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import readline from 'node:readline'

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const { authority, config } = JSON.parse((await lines.next()).value)
Object.assign(process.env, {
  CI: '1',
  NEXT_TELEMETRY_DISABLED: '1',
  NODE_ENV: 'production',
  TOKEN_AUTHORITY_HTTP: authority,
})
// Next.js looks for its packages in the folders above the app.
const packages = join(process.cwd(), 'node_modules')
const dir = mkdtempSync(join(process.cwd(), 'next-'))
let code = 1
try {
  // Where Better Auth's handler would be.
  const route = join(dir, 'app/api/auth/[...all]')
  mkdirSync(route, { recursive: true })
  writeFileSync(
    join(route, 'route.js'),
    `const answer = () => Response.json({ of: "the auth-server" })
     export { answer as GET, answer as POST }`,
  )
  writeFileSync(join(dir, 'next.config.mjs'), config)
  const build = spawnSync(process.execPath, [join(packages, 'next/dist/bin/next'), 'build', dir])
  if (build.status !== 0) throw new Error(`${build.stdout}\n${build.stderr}`)
  const { default: next } = await import('next')
  const app = next({ dir })
  // The lines of Next.js are not for the test.
  console.log = () => {}
  await app.prepare()
  const handle = app.getRequestHandler()
  const server = createServer((request, response) => handle(request, response))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`)
  await lines.next()
  code = 0
} catch (failure) {
  console.error(failure)
}
rmSync(dir, { recursive: true, force: true, maxRetries: 10 })
process.exit(code)
