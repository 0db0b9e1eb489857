/**
 * Revocations on their way to the authority.
 *
 * Each is written to the plugin's own table first, in the transaction that ends the session, and
 * deleted once it is delivered. What cannot be delivered is tried again, by this process or the
 * next one.
 */

import { getCurrentAdapter, queueAfterTransactionHook } from "@better-auth/core/context";
import type { AuthContext } from "better-auth";
import { symmetricDecrypt, symmetricEncrypt } from "better-auth/crypto";
import { type AuthorityClient, isFinal } from "./authority.ts";

/** The table, as Better Auth's schema names it. */
export const TABLE = "tokenAuthorityRevocation";

/** The pauses between attempts grow from the first to the second. */
const SHORTEST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** As many are delivered at once. */
const BATCH = 20;

/** What is to end: a session by its id, or the one of a refresh token. */
export interface Ending {
  kind: "session" | "token";
  value: string;
}

interface Row extends Ending {
  /** Undefined: it could not be written. */
  id: string | undefined;
}

/** Delivers revocations. */
export class Outbox {
  readonly #authority: AuthorityClient;
  readonly #context: AuthContext;
  #pause = SHORTEST_PAUSE_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(authority: AuthorityClient, context: AuthContext) {
    this.#authority = authority;
    this.#context = context;
    // What an earlier process left behind.
    this.#retryIn(SHORTEST_PAUSE_MS);
  }

  /**
   * Writes down what is to end. The result delivers it once the current transaction is through;
   * neither ever fails, since no logout may.
   */
  async record(endings: readonly Ending[]): Promise<() => Promise<void>> {
    const rows = await Promise.all(endings.map((ending) => this.#write(ending)));
    return () => queueAfterTransactionHook(() => this.#deliverOrRetry(rows));
  }

  async #write(ending: Ending): Promise<Row> {
    try {
      const adapter = await getCurrentAdapter(this.#context.adapter);
      const key = this.#context.secretConfig;
      // A refresh token is a secret: the table shows none.
      const { kind } = ending;
      const value =
        kind === "token" ? await symmetricEncrypt({ key, data: ending.value }) : ending.value;
      const data = { kind, value, createdAt: new Date() };
      const { id } = await adapter.create<Record<string, unknown>, { id: string }>({
        model: TABLE,
        data,
      });
      return { ...ending, id };
    } catch (failure) {
      this.#context.logger.error("token-authority: a revocation cannot be written down", failure);
      return { ...ending, id: undefined };
    }
  }

  async #deliverOrRetry(rows: readonly Row[]): Promise<void> {
    // While the authority is known to be down, nobody waits for it.
    const isDown = this.#timer !== undefined && this.#pause > SHORTEST_PAUSE_MS;
    const delivered = isDown ? false : await this.#deliver(rows);
    if (!delivered && rows.length > 0) this.#retryIn(this.#pause);
  }

  /** Delivers revocations. True: nothing is left of them. */
  async #deliver(rows: readonly Row[]): Promise<boolean> {
    const done = await Promise.all(rows.map((row) => this.#deliverOne(row)));
    return done.every(Boolean);
  }

  async #deliverOne({ id, kind, value }: Row): Promise<boolean> {
    try {
      if (kind === "session") await this.#authority.revokeSession(value);
      else await this.#authority.revokeRefreshToken(value);
    } catch (failure) {
      this.#context.logger.error("token-authority: a revocation was not delivered", failure);
      if (!isFinal(failure)) return false;
    }
    if (id !== undefined) await this.#forget(id);
    return true;
  }

  async #forget(id: string): Promise<void> {
    try {
      await this.#context.adapter.delete({ model: TABLE, where: [{ field: "id", value: id }] });
    } catch (failure) {
      // It will be delivered once more, which changes nothing.
      this.#context.logger.warn("token-authority: a delivered revocation is not deleted", failure);
    }
  }

  #retryIn(pause: number): void {
    if (this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#retry().catch((failure: unknown) => {
        // Such as before the table was made.
        this.#context.logger.debug("token-authority: the outbox cannot be read", failure);
      });
    }, pause);
    this.#timer.unref();
  }

  /** Delivers what the table holds, the oldest first. */
  async #retry(): Promise<void> {
    const found = await this.#context.adapter
      .findMany<Ending & { id: string }>({
        model: TABLE,
        limit: BATCH,
        sortBy: { field: "createdAt", direction: "asc" },
      })
      .finally(() => {
        this.#timer = undefined;
      });
    const rows = (await Promise.all(found.map((row) => this.#opened(row)))).filter((row) => !!row);
    if (await this.#deliver(rows)) {
      this.#pause = SHORTEST_PAUSE_MS;
      if (found.length === BATCH) this.#retryIn(0);
    } else {
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
      this.#retryIn(this.#pause);
    }
  }

  async #opened({ id, kind, value }: Ending & { id: string }): Promise<Row | undefined> {
    if (kind !== "token") return { id, kind, value };
    try {
      const data = await symmetricDecrypt({ key: this.#context.secretConfig, data: value });
      return { id, kind, value: data };
    } catch {
      // Better Auth's secret was replaced. Nobody can open it any more.
      await this.#forget(id);
      return undefined;
    }
  }
}
