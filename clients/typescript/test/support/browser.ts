/** A real browser with one cookie jar, driven over WebDriver BiDi or, Chromium, CDP. */

import { existsSync } from "node:fs";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { bound } from "./ends.ts";

/** The browsers of the system. */
export const BROWSERS = {
  chrome: "/usr/bin/chromium",
  firefox: "/usr/bin/firefox-esr",
} as const;

export type BrowserName = keyof typeof BROWSERS;

/** Moves a page's clocks, as they are after the machine was asleep. */
const CLOCKS = `
  window.ahead = { wall: 0, steady: 0 };
  const wall = Date.now.bind(Date);
  const steady = performance.now.bind(performance);
  Date.now = () => wall() + ahead.wall;
  performance.now = () => steady() + ahead.steady;
`;

export async function launch(name: BrowserName): Promise<Browser> {
  const executablePath = BROWSERS[name];
  if (!existsSync(executablePath)) throw new Error(`${executablePath} is missing`);
  const own = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
  const usual = puppeteer.defaultArgs({ browser: name, args: name === "chrome" ? own : [] });
  // Chromium's automation mode would switch the back/forward cache off.
  const wanted = usual.filter((option) => option !== "--disable-back-forward-cache");
  const [command, args] = bound(executablePath, wanted);
  return puppeteer.launch({
    browser: name,
    executablePath: `/usr/bin/${command}`,
    args,
    ignoreDefaultArgs: true,
    protocolTimeout: 60_000,
  });
}

/** Opens a tab with clocks that can be moved. */
export async function open(browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage();
  await page.evaluateOnNewDocument(CLOCKS);
  await page.goto(url);
  await page.waitForFunction("window.session");
  return page;
}

/** Returns the result of a script in the page. An error there is thrown here. */
export async function run<T>(page: Page, script: string): Promise<T> {
  return (await page.evaluate(`(async () => { ${script} })()`)) as T;
}
