// Serves a Next.js app of nothing but a rewrite, as docs/guides/in-the-page.md shows it.
//
// Reads a line of JSON {"authority"} and answers with a line of JSON {"port"}. Ends with its standard
// input.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import readline from 'node:readline'
import next from 'next'

process.env.NEXT_TELEMETRY_DISABLED = '1'
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const { authority } = JSON.parse((await lines.next()).value)
// Next.js looks for its packages in the folders above the app.
const dir = mkdtempSync(join(process.cwd(), 'next-'))
const end = (code) => {
  rmSync(dir, { recursive: true, force: true, maxRetries: 10 })
  process.exit(code)
}
try {
  mkdirSync(join(dir, 'pages'))
  const rewrite = {
    source: '/api/auth/:path(refresh|logout)',
    destination: `${authority}/api/auth/:path`,
  }
  const settings = `export default {
    turbopack: { root: ${JSON.stringify(process.cwd())} },
    rewrites: async () => ({ beforeFiles: [${JSON.stringify(rewrite)}] }),
  }`
  writeFileSync(join(dir, 'next.config.mjs'), settings)
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address()
  const app = next({ dev: true, dir, hostname: '127.0.0.1', port })
  // Its lines are not for the test.
  console.log = () => {}
  await app.prepare()
  const handle = app.getRequestHandler()
  server.on('request', (request, response) => handle(request, response))
  process.stdout.write(`${JSON.stringify({ port })}\n`)
  await lines.next()
  end(0)
} catch (failure) {
  console.error(failure)
  end(1)
}
