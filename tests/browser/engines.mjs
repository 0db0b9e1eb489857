// Drives one tab of a browser of any engine, each by the protocol that it speaks without an extra
// program of its vendor.
//
// Reads a line of JSON {"engine"}, then lines of JSON {"open": url} or {"run": script}, each of which
// it answers with a line of JSON {"done"} or {"failed"}. Ends with its standard input, and its
// browser with it.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import readline from 'node:readline'
import { chromium } from 'playwright-core'

const folder = mkdtempSync(join(tmpdir(), 'ta-test-engine-'))
const children = []
const start = (program, args, options = {}) => {
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', 'ignore'],
    ...options,
    env: { ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder, ...options.env },
  })
  children.push(child)
  return child
}
const engines = {
  chromium: async () => {
    const browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    })
    const tab = await browser.newPage()
    return {
      open: (url) => tab.goto(url).then(() => null),
      run: (script) =>
        tab.evaluate(script).then(
          (done) => ({ done }),
          (failure) => ({ failed: String(failure) }),
        ),
      close: () => browser.close(),
    }
  },

  firefox: async () => {
    const port = await freePort()
    writeFileSync(join(folder, 'user.js'), `user_pref('marionette.port', ${port});\n`)
    start('/usr/bin/firefox-esr', ['--headless', '--marionette', '--no-remote', '--profile', folder])
    const command = await marionette(port)
    await command('WebDriver:NewSession', {})
    return {
      open: (url) => command('WebDriver:Navigate', { url }).then(() => null),
      run: (script) =>
        command('WebDriver:ExecuteAsyncScript', {
          script: calling(script),
          args: [],
          sandbox: null,
        }).then(({ value }) => value),
      close: () => command('Marionette:Quit', { flags: ['eForceQuit'] }),
    }
  },

  // WebKitGTK's own WebDriver, on a display that nobody sees.
  webkit: async () => {
    const screen = start('Xvfb', ['-displayfd', '3', '-nolisten', 'tcp'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    })
    const display = await new Promise((resolve, reject) => {
      screen.on('error', reject)
      screen.stdio[3].on('data', (number) => resolve(`:${String(number).trim()}`))
    })
    const port = await freePort()
    start('WebKitWebDriver', [`--port=${port}`, '--host=127.0.0.1'], { env: { DISPLAY: display } })
    const command = async (method, path, body) => {
      const request = { method, body: body && JSON.stringify(body) }
      const answer = await fetch(`http://127.0.0.1:${port}/session${path}`, request)
      const { value } = await answer.json()
      if (!answer.ok) throw new Error(JSON.stringify(value))
      return value
    }
    const options = {
      binary: '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser',
      args: ['--automation'],
    }
    const alwaysMatch = { 'webkitgtk:browserOptions': options }
    const { sessionId } = await soon(() =>
      command('POST', '', { capabilities: { alwaysMatch } }),
    )
    const session = (method, path, body) => command(method, `/${sessionId}${path}`, body)
    return {
      open: (url) => session('POST', '/url', { url }),
      run: (script) => session('POST', '/execute/async', { script: calling(script), args: [] }),
      close: () => session('DELETE', ''),
    }
  },
}

const end = (code) => {
  for (const child of children.reverse()) child.kill()
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  process.exit(code)
}

try {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const { engine } = JSON.parse((await lines.next()).value)
  const tab = await inTime(engines[engine](), 180_000)
  console.log(JSON.stringify({ done: engine }))
  for await (const line of lines) {
    const { open, run } = JSON.parse(line)
    const answer = open ? { done: await inTime(tab.open(open)) } : await inTime(tab.run(run))
    console.log(JSON.stringify(answer))
  }
  await inTime(tab.close())
  end(0)
} catch (failure) {
  console.log(JSON.stringify({ failed: String(failure) }))
  end(1)
}
