/**
 * Which sessions of the authority belong to a session of Better Auth, and their common end.
 *
 * The ids stand in a field of Better Auth's session, so they are where the session is: in the
 * database, in a secondary storage, or in both.
 */

import type { AuthContext, InternalAdapter, Session } from "better-auth";
import type { Ending, Outbox } from "./outbox.ts";

/** The field of Better Auth's session. */
export const FIELD = "tokenAuthoritySessions";

/** A session that was given tokens more often (by switching accounts) forgets the oldest. */
const MAX_IDS = 8;

/** The ids of a session. */
export function idsOf(session: object | null | undefined): string[] {
  const ids = (session as Record<string, unknown> | null | undefined)?.[FIELD];
  return typeof ids === "string" && ids ? ids.split(",") : [];
}

/**
 * Notes an id on a session. False: the session is gone, as after a logout at the same moment.
 */
export async function note(context: AuthContext, session: Session, id: string): Promise<boolean> {
  const current = await context.internalAdapter.findSession(session.token);
  if (!current) return false;
  const ids = [...idsOf(current.session).filter((one) => one !== id), id].slice(-MAX_IDS);
  const changed = { [FIELD]: ids.join(",") } as Partial<Session>;
  return Boolean(await context.internalAdapter.updateSession(session.token, changed));
}

const endingsOf = (sessions: readonly (object | null | undefined)[]): Ending[] =>
  sessions.flatMap(idsOf).map((value) => ({ kind: "session", value }));

/**
 * Has every way in which Better Auth ends sessions end the authority's, too.
 *
 * Its database hooks are not enough: they are not called for sessions in a secondary storage. So
 * the internal adapter itself is wrapped, when Better Auth puts it into its context.
 */
export function endTogether(context: AuthContext, outbox: Outbox): void {
  let adapter = context.internalAdapter;
  Object.defineProperty(context, "internalAdapter", {
    configurable: true,
    enumerable: true,
    get: () => adapter,
    set: (made: InternalAdapter) => {
      adapter = wrap(made, outbox, context);
    },
  });
}

function wrap(inner: InternalAdapter, outbox: Outbox, context: AuthContext): InternalAdapter {
  /** Ends sessions, and then the authority's. */
  const ending = async <T>(
    find: () => Promise<readonly (object | null | undefined)[]>,
    end: () => Promise<T>,
  ): Promise<T> => {
    const sessions = await find().catch((failure: unknown) => {
      context.logger.error("token-authority: sessions that end cannot be read", failure);
      return [];
    });
    const deliver = await outbox.record(endingsOf(sessions));
    try {
      return await end();
    } finally {
      await deliver();
    }
  };
  const one = async (token: string) => [(await inner.findSession(token))?.session];
  const all = (userId: string) => inner.listSessions(userId);
  return {
    ...inner,
    deleteSession: (token) =>
      ending(
        () => one(token),
        () => inner.deleteSession(token),
      ),
    deleteSessions: (tokens) =>
      ending(
        async () => (await Promise.all(tokens.map(one))).flat(),
        () => inner.deleteSessions(tokens),
      ),
    deleteUserSessions: (userId) =>
      ending(
        () => all(userId),
        () => inner.deleteUserSessions(userId),
      ),
    deleteUser: (userId) =>
      ending(
        () => all(userId),
        () => inner.deleteUser(userId),
      ),
  };
}
