/** The package as its users get it: the tarball in an empty project, with the guides' snippets. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority, until } from "./support/authority.ts";
import { launch, run as runInPage } from "./support/browser.ts";
import { bound } from "./support/ends.ts";
import { startPostgres } from "./support/postgres.ts";
import { type Snippet, snippetsOf } from "./support/snippets.ts";

const PACKAGE = resolve(import.meta.dirname, "..");
const GUIDES = resolve(PACKAGE, "../../docs/guides");
const run = promisify(execFile);

let project: string;
let authority: Authority;
const programs: ChildProcess[] = [];

const PAGES = ["log-users-in.md", "in-the-page.md", "protect-a-backend-node.md"];
const snippets = PAGES.flatMap((page) => snippetsOf(join(GUIDES, page)));

/** The snippets that were run, or whose types were checked. */
const used = new Set<string>();

function snippet(title: string): Snippet {
  used.add(title);
  const found = snippets.find((one) => one.title === title);
  if (!found) throw new Error(`there is no ${title}`);
  return found;
}

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), "token-authority-user-"));
  authority = await Authority.start();
  await run("npm", ["pack", "--pack-destination", project], { cwd: PACKAGE });
  const tarball = join(project, "token-authority-0.1.0.tgz");
  writeFileSync(join(project, "package.json"), '{"private": true, "type": "module"}');
  const options = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"];
  await run("npm", ["install", ...options, tarball], { cwd: project });
  // The package needs them for its plugin alone, and the guides' programs do.
  for (const folder of ["@better-auth", "@types"]) {
    mkdirSync(join(project, "node_modules", folder), { recursive: true });
  }
  const own = ["express", "better-auth", "@better-auth/core", "pg", "react", "react-dom"];
  for (const name of [...own, "@types/express", "@types/pg", "@types/react"]) {
    const link = join(project, "node_modules", name);
    if (!existsSync(link)) symlinkSync(join(PACKAGE, "node_modules", name), link);
  }
  await compile();
});

afterAll(async () => {
  for (const program of programs) program.kill("SIGKILL");
  await authority?.stop();
  if (project) rmSync(project, { recursive: true, force: true });
});

/** Puts a snippet into the project. */
function write({ title, code }: Snippet): string {
  used.add(title);
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

type Environment = Record<string, string>;

/** Runs a program until the test ends, and waits until it serves. */
async function serve(
  command: string,
  args: string[],
  origin: string,
  environment: Environment = {},
) {
  const env = { PATH: process.env["PATH"] ?? "", PORT: new URL(origin).port, ...environment };
  const child = spawn(...bound(command, args), { cwd: project, env, stdio: "inherit" });
  programs.push(child);
  await until(`${args[0]} serves`, async () => {
    if (child.exitCode !== null) throw new Error(`${args[0]} ended with ${child.exitCode}`);
    return fetch(origin).then(
      () => true,
      () => false,
    );
  });
}

const localhost = async () => `http://localhost:${await freePort()}`;
const lines = ({ code }: Snippet) => code.trimEnd().split("\n").length;
const verifying = () => ({
  JWT_SECRET: authority.secret,
  TOKEN_AUTHORITY_ADDRESS: authority.grpc,
});

/** Checks the snippets' types, and makes JavaScript of them below `compiled`. */
async function compile(): Promise<void> {
  const files = snippets.filter(({ title }) => /\.(ts|mjs)$/.test(title)).map(write);
  const options = ["--strict", "--module", "nodenext", "--target", "es2023", "--lib", "es2023,dom"];
  const paths = ["--rootDir", project, "--outDir", join(project, "compiled")];
  const tolerant = ["--allowJs", "--skipLibCheck"];
  const roots = ["--typeRoots", join(PACKAGE, "node_modules/@types"), "--types", "node"];
  const args = [...options, ...paths, ...tolerant, ...roots, ...files];
  const tsc = join(PACKAGE, "node_modules/.bin/tsc");
  await run(tsc, args, { cwd: project }).catch((failure) => {
    throw new Error(failure.stdout);
  });
}

/** What a script prints. */
async function print(script: string, environment: Environment = {}): Promise<string> {
  const env = { PATH: process.env["PATH"] ?? "", ...environment };
  const args = ["--input-type=module", "--eval", script];
  return (await run(process.execPath, args, { cwd: project, env })).stdout.trim();
}

test("every entry loads, and says what it exports", async () => {
  const printed = await print(`
    const names = ["server", "browser", "better-auth", "better-auth/client"];
    const modules = await Promise.all(names.map((name) => import("token-authority/" + name)));
    console.log(JSON.stringify(modules.map((one) => Object.keys(one).sort())));
  `);
  expect(JSON.parse(printed)).toEqual([
    ["TokenError", "createVerifier"],
    ["SessionError", "createSession"],
    ["tokenAuthority"],
    ["tokenAuthorityClient"],
  ]);
});

test("worker.js: where the platform has fetch alone, the kit calls by it", async () => {
  const { accessToken, sessionId } = await authority.tokens.issueTokens({ userId: "carol" });
  const script = `
      import { register } from "node:module";
      register("data:text/javascript," + encodeURIComponent(\`
        export async function resolve(name, context, next) {
          if (/http2|grpc-js/.test(name)) throw new Error("there is no " + name);
          return next(name, context);
        }
      \`));
      Object.defineProperty(globalThis, "navigator", { value: { userAgent: "Cloudflare-Workers" } });
      const { default: worker } = await import(${JSON.stringify(write(snippet("worker.js")))});
      const headers = { authorization: ${JSON.stringify(`Bearer ${accessToken}`)} };
      const ended = [];
      const context = { waitUntil: (promise) => ended.push(promise) };
      const ask = () => worker.fetch(new Request("http://localhost/", { headers }), process.env, context);
      const answers = [await (await ask()).text()];
      process.stdin.once("data", async () => {
        answers.push(await (await ask()).text());
        console.log(JSON.stringify([...answers, ended.length]));
        process.stdin.destroy();
      });
      console.error("asked once");
    `;
  const environment = { PATH: process.env["PATH"] ?? "", ...verifying() };
  const args = ["--input-type=module", "--eval", script];
  const [command, options] = bound(process.execPath, args);
  const child = spawn(command, options, { cwd: project, env: environment });
  let printed = "";
  child.stdout.on("data", (text) => {
    printed += text;
  });
  const ended = new Promise((done) => child.once("exit", done));
  await new Promise((done) => child.stderr.once("data", done));
  await authority.sessions.revokeSession({ sessionId });
  child.stdin.write("again");
  expect(await ended).toBe(0);
  const refused = '{"error":"invalid_token","reason":"revoked"}';
  expect(JSON.parse(printed)).toEqual(['{"userId":"carol"}', refused, 2]);
});

test("the guides' programs are short", () => {
  expect(lines(snippet("auth-server.mjs"))).toBeLessThanOrEqual(12);
  expect(lines(snippet("server.mjs"))).toBeLessThanOrEqual(8);
  expect(lines(snippet("page.js"))).toBeLessThanOrEqual(8);
});

test("the package's own page shows the guides' programs", () => {
  const shown = snippetsOf(join(PACKAGE, "README.md"));
  expect(shown.map(({ title }) => title)).toEqual(["auth-server.mjs", "server.mjs", "page.js"]);
  for (const one of shown) expect(one.code, one.title).toBe(snippet(one.title).code);
});

test("server.mjs: Express", async () => {
  const origin = await localhost();
  await serve(process.execPath, [write(snippet("server.mjs"))], origin, verifying());
  const me = `${origin}/api/me`;
  expect((await fetch(me)).status).toBe(401);
  const issued = await authority.tokens.issueTokens({ userId: "alice" });
  const headers = { authorization: `Bearer ${issued.accessToken}` };
  const answer = await fetch(me, { headers });
  expect(await answer.json()).toMatchObject({ userId: "alice", sessionId: issued.sessionId });
  await authority.sessions.revokeSession({ sessionId: issued.sessionId });
  await until("refused", async () => (await fetch(me, { headers })).status === 401);
});

test("app/api/me/route.ts: a route handler of Next.js", async () => {
  const { accessToken } = await authority.tokens.issueTokens({ userId: "bob" });
  const printed = await print(
    `
      import { GET } from "./compiled/app/api/me/route.js";
      for (const token of [${JSON.stringify(accessToken)}, "x"]) {
        const headers = { authorization: "Bearer " + token };
        const answer = await GET(new Request("http://localhost/api/me", { headers }));
        console.log(answer.status, await answer.text());
      }
      process.exit(0);
    `,
    verifying(),
  );
  const refused = '401 {"error":"invalid_token","reason":"malformed"}';
  expect(printed.split("\n")).toEqual(['200 {"userId":"bob"}', refused]);
});

test("next.config.mjs: the service's routes are sent to it, and no others", async () => {
  const configFile = pathToFileURL(write(snippet("next.config.mjs"))).href;
  const { default: config } = await import(configFile);
  const rules: { source: string; destination: string }[] = await config.rewrites();
  const goesTo = (path: string) => {
    for (const { source, destination } of rules) {
      const [start = "", rest] = source.split("/:path*");
      if (rest === undefined ? path === source : path === start || path.startsWith(`${start}/`)) {
        return destination.replace("/:path*", path.slice(start.length));
      }
    }
    return "next";
  };
  const authority = "http://127.0.0.1:8080";
  for (const path of ["refresh", "logout", "sessions", "sessions/x/revoke", "device/renewal"]) {
    expect(goesTo(`/api/auth/${path}`)).toBe(`${authority}/api/auth/${path}`);
  }
  for (const path of ["sign-in/email", "refresh-token", "get-session"]) {
    expect(goesTo(`/api/auth/${path}`)).toBe("next");
  }
});

test("use-user-id.ts: on a server, nobody is known yet", async () => {
  const printed = await print(`
    import { createElement } from "react";
    import { renderToString } from "react-dom/server";
    import { useUserId } from "./compiled/use-user-id.js";
    console.log(renderToString(createElement(() => String(useUserId()))));
  `);
  expect(printed).toBe("undefined");
});

describe("the whole product: nginx, Better Auth, Express, the service, and a page", () => {
  let postgres: Awaited<ReturnType<typeof startPostgres>>;
  let origin: string;
  beforeAll(async () => {
    postgres = await startPostgres();
    origin = await localhost();
    const [authServer, backend] = [await localhost(), await localhost()];
    const settings = {
      DATABASE_URL: postgres.url,
      BETTER_AUTH_SECRET: "better-auth-Zx3LqW8nB1vK6yTe0RmUo5JpGh7d",
      BETTER_AUTH_URL: origin,
      BETTER_AUTH_TELEMETRY: "0",
      TOKEN_AUTHORITY_ADDRESS: authority.grpc,
    };
    const program = write(snippet("auth-server.mjs"));
    const migrate = `
      import { getMigrations } from "better-auth/db/migration";
      import { auth } from ${JSON.stringify(program)};
      await (await getMigrations(auth.options)).runMigrations();
      process.exit(0);
    `;
    await print(migrate, { PORT: "0", ...settings });
    await serve(process.execPath, [program], authServer, settings);
    await serve(process.execPath, [write(snippet("server.mjs"))], backend, verifying());
    await serveWithNginx(authServer, backend);
  });
  afterAll(async () => {
    // Before the database that they are connected to.
    for (const program of programs) program.kill("SIGKILL");
    await postgres?.stop();
  });

  async function serveWithNginx(authServer: string, backend: string): Promise<void> {
    const page = join(project, "page");
    mkdirSync(page);
    writeFileSync(join(page, "page.js"), snippet("page.js").code);
    const kit = join(project, "node_modules/token-authority/dist/browser.js");
    writeFileSync(join(page, "browser.js"), readFileSync(kit));
    writeFileSync(join(page, "index.html"), snippet("index.html").code);
    const replaced: Record<string, string> = {
      "listen 80": `listen 127.0.0.1:${new URL(origin).port}`,
      "/srv/page": page,
      "http://auth-server:3000": authServer,
      "http://backend:8000": backend,
      "http://authority:8080": authority.http,
    };
    let server = snippet("nginx.conf").code;
    for (const [name, value] of Object.entries(replaced)) {
      expect(server).toContain(name);
      server = server.replaceAll(name, value);
    }
    const user = process.getuid?.() === 0 ? "user root;" : "";
    const types = "types { text/html html; text/javascript js; }";
    const http = `http { ${types} access_log off; client_body_temp_path ${project}/body; proxy_temp_path ${project}/proxy;
      fastcgi_temp_path ${project}/fastcgi; uwsgi_temp_path ${project}/uwsgi; scgi_temp_path ${project}/scgi; ${server} }`;
    const file = join(project, "nginx.conf");
    writeFileSync(
      file,
      `${user} daemon off; master_process off; pid ${project}/nginx.pid; events {} ${http}`,
    );
    await serve("/usr/sbin/nginx", ["-p", project, "-e", "stderr", "-c", file], origin);
  }

  test("someone signs up, is known to the backend, and signs out", async () => {
    const browser = await launch("chrome");
    try {
      const page = await browser.newPage();
      const shows = (text: string) =>
        page.waitForFunction(`document.querySelector("#user").textContent === "${text}"`);
      await page.goto(origin);
      await shows("nobody");
      const userId = await runInPage<string>(
        page,
        `const answer = await fetch("/api/auth/sign-up/email", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ email: "a@example.com", password: "a password", name: "A" }),
        });
        return (await answer.json()).user.id;`,
      );
      await page.reload();
      await shows(userId);
      expect(await authority.sessions.listSessions({ userId })).toMatchObject({ sessions: [{}] });
      await page.click("#sign-out");
      await page.waitForFunction(`document.body.dataset.session === "signed-out"`);
      expect((await authority.sessions.listSessions({ userId })).sessions).toEqual([]);
      await page.reload();
      await shows("nobody");
    } finally {
      await browser.close();
    }
  });
});

test("every snippet of the guides was run or compiled", () => {
  expect(snippets.map(({ title }) => title).sort()).toEqual([...used].sort());
  for (const page of PAGES) {
    const text = readFileSync(join(GUIDES, page), "utf8");
    expect(text.match(/^```(js|ts|html|nginx)(?! title=)/gm), page).toBeNull();
  }
});
