/** A throw-away Postgres on a free port. */

import { execFileSync, spawn } from "node:child_process";
import { chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { until } from "./authority.ts";
import { bound } from "./ends.ts";

const VERSIONS = "/usr/lib/postgresql";

/** Postgres refuses to run as root. Another user's process forgets whom it was to end with. */
function asPostgres(command: string, args: string[]): [string, string[]] {
  const [setpriv, options] = bound(command, args);
  if (process.getuid?.() !== 0) return [setpriv, options];
  return [setpriv, ["--reuid=postgres", "--regid=postgres", "--clear-groups", setpriv, ...options]];
}

export async function startPostgres(): Promise<{ url: string; stop: () => Promise<void> }> {
  const version = readdirSync(VERSIONS)
    .sort((a, b) => Number(a) - Number(b))
    .at(-1);
  const bin = join(VERSIONS, version ?? "", "bin");
  const folder = mkdtempSync(join(tmpdir(), "token-authority-pg-"));
  if (process.getuid?.() === 0) {
    const id = (flag: string) =>
      Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
    chownSync(folder, id("-u"), id("-g"));
  }
  const port = await freePort();
  const init = ["-D", folder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"];
  execFileSync(...asPostgres(join(bin, "initdb"), init), { stdio: "ignore" });
  const settings = [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
  ];
  const [command, args] = asPostgres(join(bin, "postgres"), [
    "-D",
    folder,
    ...settings.flatMap((setting) => ["-c", setting]),
  ]);
  const server = spawn(command, args, { stdio: "ignore" });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  await until("Postgres answers", async () => {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      return true;
    } catch {
      return false;
    } finally {
      await client.end().catch(() => {});
    }
  });
  const stop = async () => {
    const ended = new Promise((done) => server.once("exit", done));
    // It waits for its clients to leave. A pool's end() does not: a client that Postgres cuts off
    // while it leaves has nobody to tell, and its error ends the whole run.
    server.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, stop };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}
