// Drives one Chromium with one cookie jar, as a user with several tabs does.
//
// Reads a line of JSON {"executable"}, then lines of JSON {"what", …}, each of which it answers with
// a line of JSON {"done"} or {"failed"}. Ends with its standard input, and its browser with it.

import readline from 'node:readline'
import { chromium } from 'playwright-core'

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const { executable } = JSON.parse((await lines.next()).value)
const browser = await chromium.launch({
  executablePath: executable,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
})
const context = await browser.newContext()
const tabs = []

// Whatever takes longer hangs.
const PATIENCE = 60_000
const inTime = (promise) => {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('it hangs')), PATIENCE)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

// What a page's script comes to. That it failed is for the test to judge.
const run = (tab, script) =>
  inTime(tabs[tab].evaluate(script)).then(
    (done) => ({ done }),
    (failure) => ({ failed: String(failure) }),
  )

const commands = {
  // Opens a page in a tab of its own, whose clock can be set forward.
  open: async ({ url }) => {
    const tab = await context.newPage()
    await tab.clock.install()
    await tab.goto(url)
    return tabs.push(tab) - 1
  },
  // Runs a script in several tabs at once, and waits for all of them.
  run: ({ tabs, script }) => Promise.all(tabs.map((tab) => run(tab, script))),
  // Begins a script and does not wait for it.
  begin: async ({ tab, script }) => void run(tab, script),
  reload: async ({ tab }) => void (await tabs[tab].reload()),
  close: async ({ tab }) => void (await tabs[tab].close()),
  // The lid of the laptop was closed for a while: timers that came due fire once.
  wake: async ({ seconds }) => {
    const open = tabs.filter((tab) => !tab.isClosed())
    await Promise.all(open.map((tab) => tab.clock.fastForward(seconds * 1000)))
  },
  cookies: () => context.cookies(),
}

const answer = async ({ what, ...settings }) => {
  try {
    return { done: (await inTime(commands[what](settings))) ?? null }
  } catch (failure) {
    return { failed: String(failure) }
  }
}

console.log(JSON.stringify({ done: browser.version() }))
for await (const line of lines) console.log(JSON.stringify(await answer(JSON.parse(line))))
await browser.close()
process.exit(0)
