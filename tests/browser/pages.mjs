// Drives one tab of Chromium or Firefox as a person does who uses only the keyboard, with the scripts
// of pages switched off, or as a checker that looks into a page.
//
// Reads a line of JSON {"engine", "scripts", "dark", "axe"}, then lines of JSON with one command each,
// which it answers with a line of JSON {"done"} or {"failed"}. Ends with its standard input, and its
// browser with it.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import readline from 'node:readline'
import { chromium } from 'playwright-core'

const folder = mkdtempSync(join(tmpdir(), 'ta-test-pages-'))
let child = null

const engines = {
  chromium: async ({ scripts, dark }) => {
    const browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    })
    const context = await browser.newContext({
      javaScriptEnabled: scripts,
      colorScheme: dark ? 'dark' : 'light',
      viewport: { width: 1000, height: 800 },
    })
    const tab = await context.newPage()
    const refused = []
    tab.on('console', (line) => {
      if (line.text().includes('Content Security Policy')) refused.push(line.text())
    })
    return {
      open: async (url) => void (await tab.goto(url)),
      cookie: async ({ name, value, url }) => {
        const { hostname: domain } = new URL(url)
        await context.addCookies([{ name, value, domain, path: '/api/auth' }])
      },
      press: async (keys) => {
        for (const key of keys) await tab.keyboard.press(key)
      },
      // A form's answer is another page, so the driver waits for it.
      submit: () => Promise.all([tab.waitForNavigation(), tab.keyboard.press('Enter')]),
      focused: () => tab.locator(':focus').innerText(),
      text: () => tab.locator('body').innerText(),
      url: async () => tab.url(),
      resize: (width) => tab.setViewportSize({ width, height: 800 }),
      run: (script) => tab.evaluate(script),
      refused: async () => refused,
      picture: async (path) => void (await tab.screenshot({ path, fullPage: true })),
      close: () => browser.close(),
    }
  },

  firefox: async ({ scripts, dark }) => {
    const port = await freePort()
    const preferences = {
      'marionette.port': port,
      'javascript.enabled': scripts,
      'layout.css.prefers-color-scheme.content-override': dark ? 0 : 1,
      'accessibility.tabfocus': 7,
      'toolkit.legacyUserProfileCustomizations.stylesheets': true,
    }
    // The bars around the page would keep the window from becoming narrow.
    mkdirSync(join(folder, 'chrome'))
    const narrow = '* { min-width: 0 !important }'
    writeFileSync(join(folder, 'chrome/userChrome.css'), narrow)
    const lines = Object.entries(preferences)
    const text = lines.map(([name, value]) => `user_pref('${name}', ${JSON.stringify(value)});\n`)
    writeFileSync(join(folder, 'user.js'), text.join(''))
    child = spawn(
      '/usr/bin/firefox-esr',
      ['--headless', '--marionette', '--no-remote', '--profile', folder],
      { stdio: 'ignore', env: { ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder } },
    )
    const command = await marionette(port)
    await command('WebDriver:NewSession', {})
    const KEYS = { Tab: '\uE004', Enter: '\uE006', Space: ' ', 'Shift+Tab': null }
    const press = async (keys) => {
      for (const key of keys) {
        const value = KEYS[key]
        const actions = [{ type: 'keyDown', value }, { type: 'keyUp', value }]
        await command('WebDriver:PerformActions', {
          actions: [{ type: 'key', id: 'keyboard', actions }],
        })
      }
    }
    const find = async (selector) => {
      const found = await command('WebDriver:FindElement', { using: 'css selector', value: selector })
      return Object.values(found.value)[0]
    }
    const textOf = async (id) => (await command('WebDriver:GetElementText', { id })).value
    return {
      open: async (url) => void (await command('WebDriver:Navigate', { url })),
      cookie: async ({ name, value, url }) => {
        await command('WebDriver:Navigate', { url })
        await command('WebDriver:AddCookie', { cookie: { name, value, path: '/api/auth' } })
      },
      press,
      submit: async () => {
        const before = await find('html')
        await press(['Enter'])
        // The old page's elements become stale when the answer is shown, which is whole a little later.
        const loading = "return document.readyState !== 'complete'"
        await soon(async () => {
          if ((await find('html')) === before) throw new Error('the page has not changed')
          // The sandbox's scripts run even if those of pages are off.
          const parameters = { script: loading, args: [], sandbox: 'system' }
          const { value } = await command('WebDriver:ExecuteScript', parameters)
          if (value) throw new Error('the page is still loading')
        })
      },
      focused: async () => textOf(Object.values((await command('WebDriver:GetActiveElement', {})).value)[0]),
      text: async () => textOf(await find('body')),
      url: async () => (await command('WebDriver:GetCurrentURL', {})).value,
      resize: async (width) => void (await command('WebDriver:SetWindowRect', { width, height: 900 })),
      run: async (script) => {
        const calling = `const tell = arguments[arguments.length - 1];
          (async () => (${script}))().then((done) => tell({ done }), (failure) => tell({ failed: String(failure) }))`
        const parameters = { script: calling, args: [], sandbox: null }
        const { value } = await command('WebDriver:ExecuteAsyncScript', parameters)
        if (value.failed) throw new Error(value.failed)
        return value.done
      },
      refused: async () => [],
      close: () => command('Marionette:Quit', { flags: ['eForceQuit'] }),
    }
  },
}

const end = (code) => {
  child?.kill()
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  process.exit(code)
}

try {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const settings = JSON.parse((await lines.next()).value)
  const tab = await inTime(engines[settings.engine](settings), 180_000)
  const commands = {
    ...tab,
    // Every rule of axe-core, with the elements that break it.
    axe: async () => {
      const script = `(() => { ${readFileSync(settings.axe)}; return axe.run(document).then((found) => {
        const nodes = (violation) => violation.nodes.map((node) => node.html)
        return {
          passes: found.passes.length,
          violations: found.violations.map((one) => ({ id: one.id, nodes: nodes(one) })),
        }
      }) })()`
      return tab.run(script)
    },
  }
  console.log(JSON.stringify({ done: settings.engine }))
  for await (const line of lines) {
    const [name, argument] = JSON.parse(line)
    try {
      console.log(JSON.stringify({ done: (await inTime(commands[name](argument))) ?? null }))
    } catch (failure) {
      console.log(JSON.stringify({ failed: String(failure) }))
    }
  }
  await inTime(tab.close())
  end(0)
} catch (failure) {
  console.log(JSON.stringify({ failed: String(failure) }))
  end(1)
}
