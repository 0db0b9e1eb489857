/** The session of a page in real browsers, beside the real authority. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Authority, sleep, until } from "./support/authority.ts";
import { BROWSERS, type BrowserName, launch, open, run } from "./support/browser.ts";
import { Product } from "./support/product.ts";

const HOUR = 3_600_000;

test("it is small and depends on nothing", () => {
  const kit = readFileSync(resolve(import.meta.dirname, "../dist/browser.js"));
  expect(gzipSync(kit, { level: 9 }).length).toBeLessThanOrEqual(3 * 1024);
  expect(kit.toString()).not.toMatch(/^import|\bfrom["']/m);
});

describe.each(Object.keys(BROWSERS) as BrowserName[])("in %s", (name) => {
  let authority: Authority;
  let product: Product;
  let browser: Browser;
  const tabs: Page[] = [];
  beforeAll(async () => {
    authority = await Authority.start();
    [product, browser] = [await Product.start(authority), await launch(name)];
  });
  afterAll(async () => {
    await browser?.close();
    await product?.stop();
    await authority?.stop();
  });
  afterEach(async () => {
    product.replies = "arrive";
    for (const tab of tabs.splice(0)) await tab.close();
    product.mostAtOnce.clear();
  });

  let opened = 0;
  async function tab(): Promise<Page> {
    opened += 1;
    const page = await open(browser, `${product.origin}/?tab=${opened}`);
    tabs.push(page);
    return page;
  }
  const signIn = (page: Page, user: string) => run(page, `await fetch("/login?user=${user}")`);
  const token = (page: Page) => run<string | null>(page, "return session.getAccessToken()");
  const events = (page: Page) => run<string[]>(page, "return events.map(({ event }) => event)");
  const userId = (page: Page) => run<string | null>(page, "return session.userId");
  const me = (page: Page) =>
    run<string>(
      page,
      `
      const answer = await session.fetch("/api/me", { method: "POST", body: "a body" });
      return answer.ok ? JSON.stringify(await answer.json()) : String(answer.status);
    `,
    );
  /** The machine was asleep: the wall clock has moved on, the steady one has not. */
  const asleep = (page: Page, length: number) => run(page, `ahead.wall += ${length}`);
  const wake = (page: Page) => run(page, `document.dispatchEvent(new Event("visibilitychange"))`);
  const is = (user: string) => JSON.stringify({ userId: user, body: "a body" });

  test("a neighbour's cookie does not make a page somebody else's", async () => {
    const page = await tab();
    await signIn(page, "alice");
    expect(await me(page)).toBe(is("alice"));
    // A longer path comes first in the header, and the newest login wins unless the page names one.
    const { refreshToken } = await authority.tokens.issueTokens({ userId: "mallory" });
    const cookie = `refreshToken=${refreshToken}; Path=/api/auth/refresh`;
    await run(page, `document.cookie = ${JSON.stringify(cookie)}`);
    await asleep(page, HOUR);
    expect(await me(page)).toBe(is("alice"));
    await run(page, `document.cookie = "refreshToken=; Max-Age=0; Path=/api/auth/refresh"`);
    await run(page, "await session.signOut()");
  });

  test("a page signs in, asks, and signs out", async () => {
    const page = await tab();
    expect(await token(page)).toBeNull();
    expect(await userId(page)).toBeNull();
    expect(await me(page)).toBe("401");
    await signIn(page, "alice");
    expect(await me(page)).toBe(is("alice"));
    expect(await userId(page)).toBe("alice");
    const before = product.refreshes;
    expect(await token(page)).toBe(await token(page));
    expect(product.refreshes).toBe(before);
    await run(page, "await session.signOut()");
    expect(await me(page)).toBe("401");
    expect(await events(page)).toEqual(["signed-out", "signed-in", "signed-out"]);
    const { sessions } = await authority.sessions.listSessions({ userId: "alice" });
    expect(sessions).toEqual([]);
  });

  test("ten tabs: one refresh at a time each, and a logout is seen by all within a second", async () => {
    const pages = await Promise.all(Array.from({ length: 10 }, tab));
    const [first] = pages as [Page];
    await signIn(first, "bob");
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(pages.map((page) => asleep(page, HOUR)));
      // Each tab asks several times at once.
      const asked = pages.flatMap((page) => [me(page), me(page), me(page)]);
      expect(new Set(await Promise.all(asked))).toEqual(new Set([is("bob")]));
    }
    expect(product.mostAtOnce.size).toBe(10);
    expect(new Set(product.mostAtOnce.values())).toEqual(new Set([1]));
    const signedOutAt = await run<number>(
      first,
      "await session.signOut(); return Date.now() - ahead.wall",
    );
    await until("all know", async () => {
      const all = await Promise.all(pages.map(userId));
      return all.every((one) => one === null);
    });
    for (const page of pages) {
      const last = await run<{ event: string; at: number }>(
        page,
        "const { event, at } = events.at(-1); return { event, at: at - ahead.wall }",
      );
      expect(last.event).toBe("signed-out");
      expect(last.at - signedOutAt).toBeLessThan(1_000);
    }
  });

  test("another tab signs in as someone else", async () => {
    const [one, other] = [await tab(), await tab()];
    await signIn(one, "carol");
    expect([await me(one), await me(other)]).toEqual([is("carol"), is("carol")]);
    await signIn(other, "dave");
    await asleep(other, HOUR);
    expect(await me(other)).toBe(is("dave"));
    await until("it is told", async () => (await userId(one)) === "dave");
    expect(await me(one)).toBe(is("dave"));
    expect(await events(one)).toEqual(["signed-in", "switched"]);
    expect(await events(other)).toEqual(["signed-in", "switched"]);
  });

  test("a laptop sleeps for a night, with the network slow to come back", async () => {
    const page = await tab();
    await signIn(page, "erin");
    const before = await token(page);
    product.replies = "refuse";
    await asleep(page, 8 * HOUR);
    await wake(page);
    const failed = await run<string>(page, "return session.getAccessToken().catch((e) => e.name)");
    expect(failed).toBe("SessionError");
    product.replies = "arrive";
    expect(await me(page)).toBe(is("erin"));
    expect(await token(page)).not.toBe(before);
    expect(await events(page)).toEqual(["signed-in"]);
  });

  test("on waking a page renews by itself", async () => {
    const page = await tab();
    await signIn(page, "erin");
    await token(page);
    const before = product.refreshes;
    await asleep(page, HOUR);
    await wake(page);
    await until("renewed", () => product.refreshes > before);
    await token(page);
    // A clock that is set back does not make an old token young.
    await run(page, `ahead.wall -= 2 * ${HOUR}; ahead.steady += ${HOUR}`);
    const between = product.refreshes;
    await token(page);
    expect(product.refreshes).toBe(between + 1);
  });

  test.each(["refuse", "limit"] as const)("replies: %s; nobody is signed out", async (how) => {
    const page = await tab();
    await signIn(page, "frank");
    await token(page);
    await asleep(page, HOUR);
    product.replies = how;
    const before = product.refreshes;
    const outcomes = await run<string[]>(
      page,
      `
      const asked = Array.from({ length: 20 }, () => session.getAccessToken().catch((e) => e.name));
      return Promise.all(asked);
    `,
    );
    expect(new Set(outcomes)).toEqual(new Set(["SessionError"]));
    // Twenty who ask are three requests with pauses between them. Browsers repeat by themselves a
    // request whose connection broke.
    const requests = product.refreshes - before;
    if (how === "limit") expect(requests).toBe(3);
    expect(requests).toBeGreaterThanOrEqual(3);
    expect(requests).toBeLessThanOrEqual(6);
    product.replies = "arrive";
    expect(await me(page)).toBe(is("frank"));
    expect(await events(page)).toEqual(["signed-in"]);
  });

  test("a token that is nearly over is still used while its successor is slow", async () => {
    const page = await tab();
    await signIn(page, "frank");
    const before = await token(page);
    await run(page, `ahead.wall += 1770000`);
    product.replies = "hold";
    expect(await token(page)).toBe(before);
  });

  test("a refresh that is not answered is given up and asked again", async () => {
    const page = await tab();
    await signIn(page, "grace");
    await token(page);
    await asleep(page, HOUR);
    product.replies = "hold";
    const before = product.refreshes;
    const answer = me(page);
    await until("held", () => product.refreshes > before);
    const heldAt = performance.now();
    product.replies = "arrive";
    expect(await answer).toBe(is("grace"));
    expect(performance.now() - heldAt).toBeGreaterThan(14_000);
    expect(product.mostAtOnce.values().next().value).toBe(1);
  });

  test("a revoked session ends the page's, and an API's 401 is asked once more", async () => {
    const page = await tab();
    await signIn(page, "heidi");
    expect(await me(page)).toBe(is("heidi"));
    const { sessions } = await authority.sessions.listSessions({ userId: "heidi" });
    await authority.sessions.revokeSession({ sessionId: sessions[0]?.sessionId ?? "" });
    await until("refused", async () => (await me(page)) === "401");
    expect(await events(page)).toEqual(["signed-in", "signed-out"]);
    expect(await userId(page)).toBeNull();
  });

  test("500 refreshes with 5 % of the replies lost: nobody is signed out", async () => {
    const [one, other] = [await tab(), await tab()];
    await signIn(one, "ivan");
    await Promise.all([token(one), token(other)]);
    product.replies = "lose-some";
    const [answersBefore, refreshesBefore, lostBefore] = [
      product.answers.length,
      product.refreshes,
      product.lost,
    ];
    const loop = `
      for (let round = 0; round < 250; round += 1) {
        ahead.wall += ${HOUR};
        while (!(await session.getAccessToken().catch(() => undefined)));
      }
    `;
    await Promise.all([run(one, loop), run(other, loop)]);
    const answers = product.answers.slice(answersBefore);
    expect(product.refreshes - refreshesBefore).toBeGreaterThanOrEqual(500);
    expect(product.lost).toBeGreaterThan(lostBefore);
    expect(new Set(answers)).toEqual(new Set([200]));
    expect(await events(one)).toEqual(["signed-in"]);
    expect(await events(other)).toEqual(["signed-in"]);
    expect(new Set(product.mostAtOnce.values())).toEqual(new Set([1]));
  });

  test("a page in the back/forward cache learns on its return", async () => {
    const [page, other] = [await tab(), await tab()];
    await signIn(page, "judy");
    expect([await me(page), await me(other)]).toEqual([is("judy"), is("judy")]);
    await run(
      page,
      `addEventListener("pageshow", ({ persisted }) => { window.persisted = persisted })`,
    );
    await page.goto(`${product.origin}/elsewhere`);
    await run(other, "await session.signOut()");
    await run(page, "history.back()");
    await until("it is back", async () => {
      const persisted = run(page, "return window.persisted").catch(() => undefined);
      return (await persisted) === true;
    });
    await until("it learns", async () => (await userId(page)) === null);
    expect(await me(page)).toBe("401");
    expect(await events(page)).toEqual(["signed-in", "signed-out"]);
  });

  // Only Chromium can be told to freeze a tab.
  const testInChrome = name === "chrome" ? test : () => {};
  testInChrome("a frozen tab catches up", async () => {
    const [page, other] = [await tab(), await tab()];
    await signIn(page, "kim");
    expect([await me(page), await me(other)]).toEqual([is("kim"), is("kim")]);
    const devtools = await page.createCDPSession();
    await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
    await run(other, `ahead.wall += ${HOUR}; await session.getAccessToken()`);
    await sleep(500);
    await devtools.send("Page.setWebLifecycleState", { state: "active" });
    expect(await me(page)).toBe(is("kim"));
    await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
    await run(other, "await session.signOut()");
    await devtools.send("Page.setWebLifecycleState", { state: "active" });
    await until("it learns", async () => (await userId(page)) === null);
    expect(await events(page)).toEqual(["signed-in", "signed-out"]);
  });

  test("offline, and back", async () => {
    const page = await tab();
    await signIn(page, "leo");
    await token(page);
    await asleep(page, HOUR);
    product.replies = "refuse";
    await run(page, "await session.getAccessToken().catch(() => {})");
    product.replies = "arrive";
    const before = product.refreshes;
    await run(page, `dispatchEvent(new Event("online"))`);
    await until("renewed at once", () => product.refreshes > before);
    expect(await me(page)).toBe(is("leo"));
  });
});
