/** Follows the authority's stream of revocations: `docs/revocation.md`, step by step. */

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  type Revocation,
  SessionService,
  type StaleTokens,
  type WatchRevocationsResponse,
} from "../gen/token_authority/v1/session_service_pb.ts";
import type { Connection } from "../transport.ts";
import { RefusedSessions } from "./refused.ts";

/** A token waits this long for the first heartbeat, unless an attempt fails before. */
const FIRST_HEARTBEAT_MS = 5_000;
/** Heartbeats come every second: a stream without any for this long is dead. */
const SILENCE_MS = 3_000;
/** The same for the first message, before which a connection has to be made. */
const FIRST_SILENCE_MS = 6_000;
/** The pauses between attempts grow from the first to the second. */
const SHORTEST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** Entries whose time is over are dropped this often. */
const SWEEP_MS = 30_000;

/** How fresh a verifier's knowledge of revocations is. */
export interface State {
  /** Whether the stream of revocations is open. */
  readonly connected: boolean;
  /** Every revocation made before this moment is known, by the authority's clock. */
  readonly freshAsOf: Date | undefined;
  /** How many revoked sessions are known whose access tokens could still be alive. */
  readonly revocations: number;
}

/** The revocations that the stream has brought. */
export class Revocations {
  readonly #connect: () => Connection;
  readonly #leewayMs: number;
  readonly #stop = new AbortController();
  #sessions = new RefusedSessions();
  /** A snapshot that is still arriving. It takes the place of `#sessions` once it is whole. */
  #arriving: RefusedSessions | undefined;
  #cursor = "";
  #connected = false;
  #asOf: number | undefined;
  /** When `#asOf` last advanced, by the clock of the system and by one that never jumps. */
  #advanced: { wall: number; steady: number } | undefined;
  #sweptAt = 0;
  /** Settles with the first heartbeat, the first failure, or when both take too long. */
  readonly #firstNews: Promise<void>;
  #tellFirst: () => void = () => {};
  #isReady = false;

  /** Each stream has a connection of its own, from `connect`. */
  constructor(connect: () => Connection, leewaySeconds: number) {
    this.#connect = connect;
    this.#leewayMs = leewaySeconds * 1000;
    this.#firstNews = new Promise((resolve) => {
      const late = setTimeout(resolve, FIRST_HEARTBEAT_MS);
      this.#tellFirst = () => {
        clearTimeout(late);
        resolve();
      };
    });
    void this.#follow();
  }

  /** Whether the first heartbeat came. Before it, nothing may be accepted. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Waits for the first heartbeat, but not after an attempt has failed. Says whether it came. */
  async ready(): Promise<boolean> {
    await this.#firstNews;
    return this.#isReady;
  }

  get state(): State {
    return {
      connected: this.#connected,
      freshAsOf: this.#asOf === undefined ? undefined : new Date(this.#asOf),
      revocations: this.#sessions.size,
    };
  }

  /** Why a session's access tokens of an epoch are refused. Undefined: they are not. */
  refusal(session: string, epoch: number): "revoked" | "stale" | undefined {
    return this.#sessions.refusal(session, epoch);
  }

  /** How long ago the last news came, in seconds. Infinite: never. */
  get staleness(): number {
    if (!this.#advanced) return Number.POSITIVE_INFINITY;
    const { wall, steady } = this.#advanced;
    // The steady clock may stand still while the machine sleeps, the other one may be set back.
    return Math.max(Date.now() - wall, performance.now() - steady) / 1000;
  }

  close(): void {
    this.#stop.abort();
    this.#tellFirst();
  }

  async #follow(): Promise<void> {
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      let isAlive = false;
      try {
        await this.#watch(() => {
          isAlive = true;
        });
      } catch (failure) {
        // A cursor that is none of the authority's, as after a new database: begin anew.
        if (ConnectError.from(failure).code === Code.InvalidArgument) this.#cursor = "";
      }
      this.#connected = false;
      this.#arriving = undefined;
      this.#tellFirst();
      failures = isAlive ? 0 : failures + 1;
      await pause(failures, this.#stop.signal);
    }
  }

  /** Follows one stream to its end. */
  async #watch(heartbeat: () => void): Promise<void> {
    const silence = new Silence();
    const signal = AbortSignal.any([silence.signal, this.#stop.signal]);
    // A new one, since the last one may lead to a machine that is gone.
    const connection = this.#connect();
    const client = createClient(SessionService, connection.transport);
    try {
      const request = { cursor: this.#cursor };
      // The stream has no deadline of its own; `silence` ends it.
      for await (const message of client.watchRevocations(request, { signal, timeoutMs: 0 })) {
        silence.reset();
        this.#take(message);
        if (message.event.case === "heartbeat") heartbeat();
      }
    } finally {
      silence.end();
      connection.close();
    }
  }

  #take({ event, cursor }: WatchRevocationsResponse): void {
    this.#connected = true;
    if (event.case === "snapshot") {
      if (!event.value.continued || !this.#arriving) this.#arriving = new RefusedSessions();
      for (const one of event.value.revocations) add(this.#arriving, one);
      for (const one of event.value.staleTokens) add(this.#arriving, one);
      // The cursor follows once the snapshot is whole, so that half of one is never resumed.
      return;
    }
    if (this.#arriving) {
      this.#sessions = this.#arriving;
      this.#arriving = undefined;
    }
    if (event.case === "revocation") add(this.#sessions, event.value);
    if (event.case === "heartbeat") {
      for (const one of event.value.staleTokens) add(this.#sessions, one);
      this.#confirm(event.value.asOf && timestampMs(event.value.asOf));
    }
    // After the message was taken in, never before.
    this.#cursor = cursor;
  }

  #confirm(asOf: number | undefined): void {
    if (asOf !== undefined && asOf > (this.#asOf ?? Number.NEGATIVE_INFINITY)) {
      this.#asOf = asOf;
      this.#advanced = { wall: Date.now(), steady: performance.now() };
    }
    this.#isReady = true;
    this.#tellFirst();
    this.#sweep();
  }

  /** Drops entries whose time is over, by the authority's clock. */
  #sweep(): void {
    if (this.#asOf === undefined || this.#asOf - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = this.#asOf;
    this.#sessions.dropBefore(this.#asOf - this.#leewayMs);
  }
}

function add(sessions: RefusedSessions, one: Revocation | StaleTokens): void {
  sessions.add(one.sessionId.toLowerCase(), {
    until: one.expiresAt ? timestampMs(one.expiresAt) : Number.POSITIVE_INFINITY,
    epoch: "epoch" in one ? one.epoch : Number.POSITIVE_INFINITY,
  });
}

/** At once after a stream that was alive, then longer and longer, and never all at the same time. */
function pause(failures: number, signal: AbortSignal): Promise<void> {
  const longest = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** (failures - 1));
  const length = failures === 0 ? 0 : longest * (0.5 + Math.random() / 2);
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, length);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}

/**
 * Aborts when nothing was heard for a while. A process that was busy for so long may have messages
 * waiting: it looks for them first.
 */
class Silence {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout>;
  #isSuspected = false;

  constructor() {
    this.#timer = this.#arm(FIRST_SILENCE_MS);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** A message came. */
  reset(): void {
    this.#isSuspected = false;
    clearTimeout(this.#timer);
    this.#timer = this.#arm(SILENCE_MS);
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #arm(length: number): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => {
      if (this.#isSuspected) return this.#controller.abort();
      this.#isSuspected = true;
      this.#timer = this.#arm(length);
    }, length / 2);
    // Workers' timers are numbers.
    (timer as { unref?: () => void }).unref?.();
    return timer;
  }
}
