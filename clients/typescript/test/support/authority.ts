/** Starts the real authority on free loopback ports, with data of its own. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createClient } from "@connectrpc/connect";
import { RolloutService } from "../../src/gen/token_authority/v1/rollout_service_pb.ts";
import { SessionService } from "../../src/gen/token_authority/v1/session_service_pb.ts";
import { TokenAuthorityService } from "../../src/gen/token_authority/v1/token_authority_service_pb.ts";
import { connect } from "../../src/transport.ts";
import { bound } from "./ends.ts";

const REPOSITORY = resolve(import.meta.dirname, "../../../..");

/** The service's program: `TOKEN_AUTHORITY_BIN`, or what `cargo build` makes. */
export const BINARY =
  process.env["TOKEN_AUTHORITY_BIN"] ?? join(REPOSITORY, "target/debug/token-authority");

/** Where its data lie: in memory where the system offers it, since nobody needs them to last. */
const FOLDER = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** A running authority. */
export class Authority {
  readonly #folder: string;
  readonly #settings: Record<string, string>;
  #process: ChildProcess;
  #log = "";
  /** Where gRPC is served. */
  grpc = "";
  /** Where HTTP is served, as an origin. */
  http = "";
  #closeClients: (() => void)[] = [];

  private constructor(folder: string, settings: Record<string, string>) {
    this.#folder = folder;
    this.#settings = settings;
    this.#process = this.#spawn();
  }

  /** Starts one. It makes its own secret, unless the settings name one. */
  static async start(settings: Record<string, string> = {}): Promise<Authority> {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: run cargo build`);
    const authority = new Authority(mkdtempSync(join(FOLDER, "token-authority-")), settings);
    await authority.#ready();
    return authority;
  }

  /** Runs a command of the program on the same data, with further settings. */
  run(commands: string[], settings: Record<string, string> = {}): string {
    const done = spawnSync(BINARY, commands, {
      cwd: this.#folder,
      env: this.#environment(settings),
      encoding: "utf8",
    });
    if (done.status !== 0) throw new Error(`${commands.join(" ")}: ${done.stderr}`);
    return done.stdout;
  }

  /** The secret that it made for itself. */
  get secret(): string {
    return readFileSync(join(this.#folder, "data/jwt_secret"), "utf8");
  }

  /** Kills it, as a power cut would, and waits for its end. */
  async kill(): Promise<void> {
    const ended = new Promise((done) => this.#process.once("exit", done));
    this.#process.kill("SIGKILL");
    await ended;
  }

  /** Whether it was not killed. */
  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Starts it again on the same ports, with further settings. */
  async restart(settings: Record<string, string> = {}): Promise<void> {
    if (this.isRunning) await this.kill();
    this.#log = "";
    this.#process = this.#spawn({
      GRPC_ADDR: this.grpc,
      HTTP_ADDR: new URL(this.http).host,
      ...settings,
    });
    await this.#ready();
  }

  /** Stops it from doing anything, and lets it go on. */
  hang(): void {
    this.#process.kill("SIGSTOP");
  }

  resume(): void {
    this.#process.kill("SIGCONT");
  }

  get tokens() {
    return createClient(TokenAuthorityService, this.#connection());
  }

  get sessions() {
    return createClient(SessionService, this.#connection());
  }

  get rollout() {
    return createClient(RolloutService, this.#connection());
  }

  /** What it has logged. */
  get log(): string {
    return this.#log;
  }

  async stop(): Promise<void> {
    for (const close of this.#closeClients) close();
    if (this.isRunning) await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #connection() {
    const { transport, close } = connect({ address: this.grpc });
    this.#closeClients.push(close);
    return transport;
  }

  #environment(settings: Record<string, string>): Record<string, string> {
    return {
      GRPC_ADDR: "127.0.0.1:0",
      HTTP_ADDR: "127.0.0.1:0",
      METRICS_ADDR: "127.0.0.1:0",
      LOG_FORMAT: "json",
      ...this.#settings,
      ...settings,
    };
  }

  #spawn(settings: Record<string, string> = {}): ChildProcess {
    const child = spawn(...bound(BINARY, []), {
      cwd: this.#folder,
      env: { PATH: process.env["PATH"] ?? "", ...this.#environment(settings) },
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#log += text;
    });
    return child;
  }

  async #ready(): Promise<void> {
    const deadline = Date.now() + 45_000;
    for (;;) {
      const serving = this.#log.split("\n").find((line) => line.includes('"message":"serving"'));
      if (serving) {
        const { grpc, http } = JSON.parse(serving);
        this.grpc = grpc;
        this.http = `http://${http}`;
        break;
      }
      if (this.#process.exitCode !== null || Date.now() > deadline) {
        throw new Error(`it does not serve: ${this.#log}`);
      }
      await sleep(10);
    }
    while (!(await fetch(`${this.http}/readyz`).catch(() => undefined))?.ok) {
      if (Date.now() > deadline) throw new Error(`it is not ready: ${this.#log}`);
      await sleep(20);
    }
  }
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}

/** Waits until something holds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 45_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await sleep(5);
  }
}
