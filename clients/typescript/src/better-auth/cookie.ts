/** The refresh token's cookie. */

import type { GenericEndpointContext } from "better-auth";
import { expireCookie, parseSetCookieHeader } from "better-auth/cookies";
import type { CookieOptions } from "./options.ts";

const NAME = "refreshToken";
const PATH = "/api/auth";

function attributesOf(ctx: GenericEndpointContext, options: CookieOptions) {
  const { domain, partitioned, path = PATH, sameSite = "lax" } = options;
  return {
    httpOnly: true,
    secure: options.secure ?? Boolean(ctx.context.authCookies.sessionToken.attributes.secure),
    sameSite,
    path,
    ...(domain === undefined ? {} : { domain }),
    ...(partitioned ? { partitioned } : {}),
  };
}

/** The refresh token that the browser sent. Empty: none. */
export function readCookie(ctx: GenericEndpointContext, options: CookieOptions): string {
  return ctx.getCookie(options.name ?? NAME) ?? "";
}

/** Hands the browser a refresh token. Without a life, it lasts as long as the browser runs. */
export function setCookie(
  ctx: GenericEndpointContext,
  options: CookieOptions,
  token: string,
  maxAge: number | undefined,
): void {
  const age = maxAge === undefined ? {} : { maxAge };
  ctx.setCookie(options.name ?? NAME, token, { ...attributesOf(ctx, options), ...age });
}

/** Has the browser forget its refresh token, and takes back one that this answer would set. */
export function clearCookie(ctx: GenericEndpointContext, options: CookieOptions): void {
  expireCookie(ctx, { name: options.name ?? NAME, attributes: attributesOf(ctx, options) });
}

/**
 * Whether the user wants to be remembered: Better Auth's own cookie of this answer has a life. If this
 * answer sets none, Better Auth's cookie of the login tells.
 */
export async function isPersistent(ctx: GenericEndpointContext): Promise<boolean> {
  const { responseHeaders } = ctx.context as { responseHeaders?: Headers };
  const { authCookies, secret } = ctx.context;
  const set = responseHeaders?.get("set-cookie");
  const own = set && parseSetCookieHeader(set).get(authCookies.sessionToken.name);
  if (own) return own["max-age"] !== undefined;
  return !(await ctx.getSignedCookie(authCookies.dontRememberToken.name, secret));
}
