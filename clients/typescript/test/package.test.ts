/** The package as its users get it: the tarball in an empty project, with the guides' snippets. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority, until } from "./support/authority.ts";
import { type Snippet, snippetsOf } from "./support/snippets.ts";

const PACKAGE = resolve(import.meta.dirname, "..");
const GUIDES = resolve(PACKAGE, "../../docs/guides");
const run = promisify(execFile);

let project: string;
let authority: Authority;
const programs: ChildProcess[] = [];

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), "token-authority-user-"));
  authority = await Authority.start();
  await run("npm", ["pack", "--pack-destination", project], { cwd: PACKAGE });
  const tarball = join(project, "token-authority-0.1.0.tgz");
  writeFileSync(join(project, "package.json"), '{"private": true, "type": "module"}');
  const { devDependencies } = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8"));
  const users = ["express", "@types/express", "@types/node"];
  const packages = users.map((name) => `${name}@${devDependencies[name]}`);
  const options = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"];
  await run("npm", ["install", ...options, tarball, ...packages], { cwd: project });
}, 240_000);

afterAll(async () => {
  for (const program of programs) program.kill("SIGKILL");
  await authority?.stop();
  if (project) rmSync(project, { recursive: true, force: true });
});

/** Puts a snippet into the project. */
function write({ title, code }: Snippet): string {
  const file = join(project, title);
  mkdirSync(resolve(file, ".."), { recursive: true });
  writeFileSync(file, code);
  return file;
}

/** A port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

/** Runs a program of the guides until the test ends. */
async function serve(file: string, environment: Record<string, string>): Promise<string> {
  const PORT = String(await freePort());
  const { PATH = "" } = process.env;
  const env = { PATH, PORT, ...environment };
  const child = spawn(process.execPath, [file], { cwd: project, env, stdio: "inherit" });
  programs.push(child);
  const origin = `http://localhost:${PORT}`;
  await until(`${file} serves`, async () => {
    if (child.exitCode !== null) throw new Error(`${file} ended with ${child.exitCode}`);
    return fetch(origin).then(
      () => true,
      () => false,
    );
  });
  return origin;
}

const verifying = () => ({
  JWT_SECRET: authority.secret,
  TOKEN_AUTHORITY_ADDRESS: authority.grpc,
});

test("every entry loads, and says what it exports", async () => {
  const script = `
    const names = ["server", "browser"];
    const modules = await Promise.all(names.map((name) => import("token-authority/" + name)));
    console.log(JSON.stringify(modules.map((one) => Object.keys(one).sort())));
  `;
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: project,
  });
  expect(JSON.parse(stdout)).toEqual([
    ["TokenError", "createVerifier"],
    ["SessionError", "createSession"],
  ]);
});

describe("docs/guides/protect-a-backend-node.md", () => {
  const snippets = snippetsOf(join(GUIDES, "protect-a-backend-node.md"));
  const snippet = (title: string) => {
    const found = snippets.find((one) => one.title === title);
    if (!found) throw new Error(`there is no ${title}`);
    return found;
  };

  test("all snippets are sound TypeScript", async () => {
    const files = snippets.map(write);
    const options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2023"];
    const tolerant = ["--allowJs", "--skipLibCheck", "--types", "node"];
    const tsc = join(PACKAGE, "node_modules/.bin/tsc");
    await run(tsc, [...options, ...tolerant, ...files], { cwd: project });
  });

  test("server.mjs: Express", async () => {
    const express = snippet("server.mjs");
    expect(express.code.trimEnd().split("\n").length).toBeLessThanOrEqual(8);
    const origin = await serve(write(express), verifying());
    expect((await fetch(`${origin}/me`)).status).toBe(401);
    const issued = await authority.tokens.issueTokens({ userId: "alice" });
    const headers = { authorization: `Bearer ${issued.accessToken}` };
    const answer = await fetch(`${origin}/me`, { headers });
    expect(await answer.json()).toMatchObject({ userId: "alice", sessionId: issued.sessionId });
    await authority.sessions.revokeSession({ sessionId: issued.sessionId });
    await until("refused", async () => (await fetch(`${origin}/me`, { headers })).status === 401);
  });

  test("app/api/me/route.ts: a route handler of Next.js", async () => {
    const file = write(snippet("app/api/me/route.ts"));
    Object.assign(process.env, verifying());
    const { GET } = await import(file.replace(/^/, "file://"));
    const issued = await authority.tokens.issueTokens({ userId: "bob" });
    const request = (token: string) =>
      new Request("http://localhost/api/me", { headers: { authorization: `Bearer ${token}` } });
    expect(await (await GET(request(issued.accessToken))).json()).toEqual({ userId: "bob" });
    expect((await GET(request("x"))).status).toBe(401);
  });
});
