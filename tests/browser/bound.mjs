// A Chromium that keeps device keys, and the TLS proxy that it reaches a product through: device-bound
// sessions need https with a certificate that verifies.
//
// Reads a line of JSON {"executable", "profile", "frontEnd", "service"}, then lines of JSON {"what", …},
// each of which it answers with a line of JSON {"done"} or {"failed"}. Ends with its standard input.

import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { join } from 'node:path'
import readline from 'node:readline'
import { chromium } from 'playwright-core'

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const start = JSON.parse((await lines.next()).value)
const HOST = 'app.example.com'

const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(start.profile, '..', name))
const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
const named = ['-days', '2', '-subj', `/CN=${HOST}`, '-addext', `subjectAltName=DNS:${HOST}`]
execFileSync('openssl', [...request, ...named, '-keyout', key, '-out', cert], { stdio: 'ignore' })
const pinned = `openssl x509 -in ${cert} -pubkey -noout | openssl pkey -pubin -outform der`
const digest = `${pinned} | openssl dgst -sha256 -binary | base64`
const spki = execFileSync('sh', ['-c', digest]).toString().trim()

// The requests to the service, with their answers: shortly, and whole. And which replies are lost.
let [seen, exchanges, replies, loseEvery] = [[], [], 0, 0]

// A text without what differs each time: the port and tokens.
const plain = (text) =>
  text.replaceAll(origin, 'ORIGIN').replaceAll(origin.slice(8), 'HOST').replace(/[\w.-]{30,}/g, 'TOKEN')
// Headers as they were sent, in their order.
const headersOf = (raw) =>
  raw.flatMap((name, at) =>
    at % 2 || name.toLowerCase() === 'date' ? [] : [`${name}: ${plain(raw[at + 1])}`],
  )
const proxy = https.createServer({ key: readFileSync(key), cert: readFileSync(cert) })
proxy.on('request', (asked, answer) => {
  const [host, port] = (asked.url.startsWith('/api/') ? start.service : start.frontEnd).split(':')
  const { method, url: path, headers } = asked
  const onward = http.request({ host, port, method, path, headers }, (told) => {
    const chunks = []
    told.on('data', (chunk) => chunks.push(chunk))
    told.on('end', () => {
      if (path.startsWith('/api/')) {
        seen.push(`${path} ${told.statusCode}`)
        exchanges.push({
          asked: [`${method} ${path}`, ...headersOf(asked.rawHeaders)],
          told: [told.statusCode, ...headersOf(told.rawHeaders), plain(String(Buffer.concat(chunks)))],
        })
      }
      replies += path.startsWith('/api/') ? 1 : 0
      if (loseEvery && path.startsWith('/api/') && replies % loseEvery === 0) {
        seen.push(`${path} lost`)
        return asked.socket.destroy()
      }
      answer.writeHead(told.statusCode, told.rawHeaders)
      answer.end(Buffer.concat(chunks))
    })
  })
  onward.on('error', () => answer.writeHead(502).end())
  asked.pipe(onward)
})
await new Promise((ready) => proxy.listen(0, '127.0.0.1', ready))
const origin = `https://${HOST}:${proxy.address().port}`

const features = [
  'DeviceBoundSessions',
  'EnableBoundSessionCredentialsSoftwareKeysForManualTesting',
  'PersistDeviceBoundSessions',
  'UnexportableKeyService',
]
const launch = (profile, on) =>
  chromium.launchPersistentContext(profile, {
    executablePath: start.executable,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      `--host-resolver-rules=MAP ${HOST} 127.0.0.1`,
      `--ignore-certificate-errors-spki-list=${spki}`,
      `--${on ? 'enable' : 'disable'}-features=${features.join(',')}`,
    ],
  })
let context = await launch(start.profile, true)
let tabs = []

const openIn = async (browser) => {
  const tab = await browser.newPage()
  await tab.goto(`${origin}/?authority=${origin}`)
  return tab
}
const run = (tab, script) =>
  tab.evaluate(script).then(
    (done) => ({ done }),
    (failure) => ({ failed: String(failure) }),
  )

const commands = {
  open: async () => tabs.push(await openIn(context)) - 1,
  run: ({ tabs: which, script }) => Promise.all(which.map((tab) => run(tabs[tab], script))),
  cookies: () => context.cookies(),
  // Drops the bound cookie, as the browser does when it has expired by its own clock.
  expire: () => context.clearCookies({ name: 'refreshTokenBound' }),
  // Returns what was seen since the last call.
  seen: () => seen.splice(0),
  exchanges: () => exchanges.splice(0),
  lose: ({ every }) => void (loseEvery = every),
  service: ({ address }) => void (start.service = address),
  // Closes the browser, and starts it again with its profile.
  restart: async () => {
    await context.close()
    ;[context, tabs] = [await launch(start.profile, true), []]
  },
  // Presents cookies from elsewhere, as curl does.
  present: ({ path, cookie, headers }) =>
    new Promise((resolve, reject) => {
      const [host, port] = start.service.split(':')
      const settings = { host, port, path, method: 'POST', headers: { ...headers, cookie } }
      const asked = http.request(settings, (told) => {
        let body = ''
        told.on('data', (chunk) => (body += chunk))
        told.on('end', () => resolve({ status: told.statusCode, headers: told.headers, body }))
      })
      asked.on('error', reject).end()
    }),
  // Runs a script in a page of Firefox, in a new profile.
  firefox: async ({ profile, script }) => {
    const port = await freePort()
    mkdirSync(profile)
    const prefs = [
      ['marionette.port', port],
      ['network.dns.localDomains', HOST],
    ]
    const lines = prefs.map(([name, value]) => `user_pref('${name}', ${JSON.stringify(value)});\n`)
    writeFileSync(join(profile, 'user.js'), lines.join(''))
    const args = ['--headless', '--marionette', '--no-remote', '--profile', profile]
    const env = { ...process.env, HOME: profile, XDG_RUNTIME_DIR: profile }
    const firefox = spawn('/usr/bin/firefox-esr', args, { stdio: 'ignore', env })
    try {
      const command = await inTime(marionette(port), 180_000)
      await command('WebDriver:NewSession', { acceptInsecureCerts: true })
      await inTime(command('WebDriver:Navigate', { url: `${origin}/?authority=${origin}` }))
      const asked = { script: calling(script), args: [], sandbox: null }
      const { value } = await inTime(command('WebDriver:ExecuteAsyncScript', asked))
      await command('Marionette:Quit', { flags: ['eForceQuit'] })
      return value
    } finally {
      firefox.kill()
    }
  },
  // Runs a script in a page of another browser whose jar holds these cookies.
  elsewhere: async ({ profile, cookies, script, bound }) => {
    const browser = await launch(profile, bound)
    await browser.addCookies(cookies)
    const done = await run(await openIn(browser), script)
    await browser.close()
    return done
  },
}

const answer = async ({ what, ...settings }) => {
  try {
    return { done: (await commands[what](settings)) ?? null }
  } catch (failure) {
    return { failed: String(failure) }
  }
}

console.log(JSON.stringify({ done: origin }))
for await (const line of lines) console.log(JSON.stringify(await answer(JSON.parse(line))))
await context.close()
process.exit(0)
