/**
 * A plugin for Better Auth: whoever signs in is given tokens of the authority, and loses them when
 * the session ends.
 *
 * @module
 */

import {
  type AuthContext,
  BetterAuthError,
  type BetterAuthPlugin,
  type GenericEndpointContext,
  type Session,
  type User,
} from "better-auth";
import {
  APIError,
  createAuthEndpoint,
  createAuthMiddleware,
  sensitiveSessionMiddleware,
} from "better-auth/api";
import { deleteSessionCookie, expireCookie } from "better-auth/cookies";
import type { IssueTokensResponse } from "../gen/token_authority/v1/token_authority_service_pb.ts";
import { AuthorityClient, isFinal, moveRequestId, newRequestId } from "./authority.ts";
import { clearCookie, isPersistent, readCookie, setCookie } from "./cookie.ts";
import { type TokenAuthorityOptions, valueFor } from "./options.ts";
import { Outbox, TABLE } from "./outbox.ts";
import { endTogether, FIELD, idsOf, note } from "./sessions.ts";

export type { AuthorityOptions, TlsOptions } from "../transport.ts";
export type { CookieOptions, ForUser, TokenAuthorityOptions } from "./options.ts";

declare module "@better-auth/core" {
  interface BetterAuthPluginRegistry<AuthOptions, Options> {
    "token-authority": {
      creator: typeof tokenAuthority;
    };
  }
}

/** What the plugin needs while Better Auth runs. */
interface Running {
  authority: AuthorityClient;
  outbox: Outbox;
}

/** Someone signed in. */
interface SignedIn {
  session: Session & Record<string, unknown>;
  user: User & Record<string, unknown>;
}

/**
 * Hands out tokens at every login, and ends them with the session. List it after `twoFactor()`.
 */
export const tokenAuthority = (options: TokenAuthorityOptions = {}) => {
  const cookie = options.cookie ?? {};
  let running: Running | undefined;

  const start = (context: AuthContext): Running => {
    assertOrder(context);
    const environment = globalThis.process?.env ?? {};
    const address = options.address ?? environment["TOKEN_AUTHORITY_ADDRESS"];
    if (!address) throw new BetterAuthError("tokenAuthority() needs the authority's address");
    const apiKey = options.apiKey ?? environment["TOKEN_AUTHORITY_API_KEY"];
    const authority = new AuthorityClient(options, { address, apiKey, tls: options.tls });
    return { authority, outbox: new Outbox(authority, context) };
  };

  const started = (): Running => {
    if (!running) throw new BetterAuthError("tokenAuthority() was not initialized");
    return running;
  };

  /** Ends the session of the refresh token that the browser still has. */
  const endPresented = async (ctx: GenericEndpointContext, except?: string): Promise<void> => {
    const value = readCookie(ctx, cookie);
    if (!value || value === except) return;
    const deliver = await started().outbox.record([{ kind: "token", value }]);
    await deliver();
  };

  const end = async (sessionId: string): Promise<void> => {
    const deliver = await started().outbox.record([{ kind: "session", value: sessionId }]);
    await deliver();
  };

  /** Opens a session at the authority for one of Better Auth. */
  const open = async (
    ctx: GenericEndpointContext,
    { session, user }: SignedIn,
    requestId: string,
  ): Promise<IssueTokensResponse> => {
    const persistent = await isPersistent(ctx);
    const issued = await started().authority.issue(session, user, requestId, persistent);
    const isNoted = await note(ctx.context, session, issued.sessionId).catch(() => false);
    if (isNoted) return issued;
    // Nobody could end it later.
    await end(issued.sessionId);
    throw new Error("the session ended while its tokens were made");
  };

  /** Opens the one session at the authority that an earlier session of Better Auth is given. */
  const move = async (
    ctx: GenericEndpointContext,
    signedIn: SignedIn,
  ): Promise<IssueTokensResponse> => {
    const before = idsOf(signedIn.session);
    try {
      const requestId = moveRequestId(signedIn.session.token);
      if (before.length === 0) {
        return await open(ctx, signedIn, requestId).catch((failure: unknown) => {
          // The first attempt was long ago, and whoever should have had its tokens has lost them.
          if (isFinal(failure)) return open(ctx, signedIn, newRequestId());
          throw failure;
        });
      }
      // It was given tokens. Only a retry, or another tab, gets the same ones. Otherwise a session
      // that was ended at the authority would come back.
      const { session, user } = signedIn;
      const persistent = await isPersistent(ctx);
      const again = await started().authority.issue(session, user, requestId, persistent);
      if (before.includes(again.sessionId)) return again;
      await end(again.sessionId);
    } catch (failure) {
      ctx.context.logger.error("token-authority: a session was given no tokens", failure);
      if (!isFinal(failure)) throw unavailable();
    }
    throw new APIError("UNAUTHORIZED", {
      code: "TOKENS_ALREADY_ISSUED",
      message: "This session was given tokens before. Sign in again.",
    });
  };

  const handOut = async (
    ctx: GenericEndpointContext,
    issued: IssueTokensResponse,
  ): Promise<void> => {
    const life = Number(issued.refreshExpiresIn?.seconds ?? 0);
    setCookie(ctx, cookie, issued.refreshToken, (await isPersistent(ctx)) ? life : undefined);
    // The browser binds the session to its device, if it can and the authority offers it.
    if (issued.deviceRegistration) {
      ctx.setHeader("Secure-Session-Registration", issued.deviceRegistration);
    }
  };

  /** The browser has another session than before: a login, or a switch between accounts. */
  const signIn = async (ctx: GenericEndpointContext, signedIn: SignedIn): Promise<void> => {
    if ((await valueFor(options.enabled, signedIn.user)) === false) return forget(ctx);
    try {
      const issued = await open(ctx, signedIn, newRequestId());
      await endPresented(ctx, issued.refreshToken);
      await handOut(ctx, issued);
    } catch (failure) {
      ctx.context.logger.error("token-authority: a login was given no tokens", failure);
      // Whose they are was true of the session before.
      await forget(ctx);
      if (options.onUnavailable === "continue") return;
      await undo(ctx, signedIn.session);
      throw unavailable();
    }
  };

  /** The browser loses its refresh token, and the session behind it ends. */
  const forget = async (ctx: GenericEndpointContext): Promise<void> => {
    const isPresented = readCookie(ctx, cookie) !== "";
    await endPresented(ctx);
    if (isPresented) clearCookie(ctx, cookie);
  };

  return {
    id: "token-authority",
    init: (context) => {
      running = start(context);
      endTogether(context, running.outbox);
    },
    schema: {
      session: {
        fields: { [FIELD]: { type: "string", required: false, input: false } },
      },
      [TABLE]: {
        fields: {
          kind: { type: "string", required: true },
          value: { type: "string", required: true },
          createdAt: { type: "date", required: true },
        },
      },
    },
    hooks: {
      after: [
        {
          matcher: (ctx) => Boolean(ctx.context.newSession),
          handler: createAuthMiddleware(async (ctx) => {
            const signedIn = ctx.context.newSession as SignedIn | null;
            if (!signedIn) return;
            // Better Auth sets its cookie again for many reasons. Only another session counts.
            if (signedIn.session.token === (await presentedSession(ctx))) return;
            await signIn(ctx, signedIn);
          }),
        },
        {
          matcher: (ctx) => ctx.path === "/sign-out",
          handler: createAuthMiddleware(async (ctx) => {
            await forget(ctx);
          }),
        },
      ],
    },
    endpoints: {
      /**
       * Gives tokens to a session that has none: one that was there before the plugin, or whose
       * login could not reach the authority.
       */
      exchangeSession: createAuthEndpoint(
        "/token-authority/exchange",
        // Never from the cookie cache, which keeps an ended session for a while.
        { method: "POST", requireHeaders: true, use: [sensitiveSessionMiddleware] },
        async (ctx) => {
          const signedIn = ctx.context.session as SignedIn;
          if ((await valueFor(options.enabled, signedIn.user)) === false) {
            throw new APIError("FORBIDDEN", { code: "TOKENS_DISABLED" });
          }
          const issued = await move(ctx, signedIn);
          await handOut(ctx, issued);
          return ctx.json({
            accessToken: issued.accessToken,
            expiresIn: Number(issued.expiresIn?.seconds ?? 0),
            userId: signedIn.user.id,
          });
        },
      ),
    },
    options,
  } satisfies BetterAuthPlugin;
};

/** Behind `twoFactor()`, the plugin would see sessions that still need a second factor. */
function assertOrder({ options }: AuthContext): void {
  const ids = (options.plugins ?? []).map(({ id }) => id);
  if (ids.indexOf("two-factor") > ids.indexOf("token-authority")) {
    throw new BetterAuthError(
      "tokenAuthority() must come after twoFactor() in `plugins`: before it, tokens would be handed out after the password alone",
    );
  }
}

/** The token of the session that the browser had before this request. */
async function presentedSession(ctx: GenericEndpointContext): Promise<string | undefined> {
  const { name } = ctx.context.authCookies.sessionToken;
  return (await ctx.getSignedCookie(name, ctx.context.secret)) || undefined;
}

/** Takes a login back: no session and no cookie stays behind. */
async function undo(ctx: GenericEndpointContext, session: Session): Promise<void> {
  const { name, attributes } = ctx.context.authCookies.sessionToken;
  deleteSessionCookie(ctx);
  // The cookie of the plugin `multiSession`.
  expireCookie(ctx, { name: `${name}_multi-${session.token.toLowerCase()}`, attributes });
  ctx.context.setNewSession(null);
  await ctx.context.internalAdapter.deleteSession(session.token);
}

function unavailable(): APIError {
  return new APIError(
    "SERVICE_UNAVAILABLE",
    { code: "TOKEN_AUTHORITY_UNAVAILABLE", message: "Tokens cannot be issued now. Try again." },
    { "Retry-After": "1" },
  );
}
