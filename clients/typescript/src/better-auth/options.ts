/** How the plugin is set up. */

import type { User } from "better-auth";
import type { AuthorityOptions } from "../transport.ts";

/** A value, or how to find it for a user. */
export type ForUser<T> = T | ((user: User & Record<string, unknown>) => T | Promise<T>);

/** The refresh token's cookie. Its attributes have to be those of the authority's settings. */
export interface CookieOptions {
  /** `REFRESH_COOKIE_NAME`. Default: `refreshToken`. */
  name?: string | undefined;
  /** `COOKIE_DOMAIN`. Default: the host alone that sets it. */
  domain?: string | undefined;
  /** Default: `/api/auth`, where the authority's routes are. */
  path?: string | undefined;
  /** `COOKIE_SAME_SITE`. Default: `lax`. */
  sameSite?: "lax" | "strict" | "none" | undefined;
  /** `COOKIE_SECURE`. Default: as Better Auth's own cookies. */
  secure?: boolean | undefined;
  /** `COOKIE_PARTITIONED`. Default: false. */
  partitioned?: boolean | undefined;
}

/** How the plugin hands out tokens. */
export interface TokenAuthorityOptions extends Partial<AuthorityOptions> {
  /** The authority's gRPC port, `host:port`. Default: `TOKEN_AUTHORITY_ADDRESS`. */
  address?: string;
  /** The key of a caller made with `--preset auth-server`. Default: `TOKEN_AUTHORITY_API_KEY`. */
  apiKey?: string | undefined;
  /** The refresh token's cookie. */
  cookie?: CookieOptions | undefined;
  /** The tokens' `aud`. Default: none. */
  audience?: ForUser<string | readonly string[]> | undefined;
  /** The tokens' scopes. Default: none. */
  scopes?: ForUser<readonly string[]> | undefined;
  /** Further claims of the access tokens. Default: none. */
  claims?: ForUser<Record<string, unknown>> | undefined;
  /** Whether a user is given tokens. Default: everybody is. */
  enabled?: ForUser<boolean> | undefined;
  /**
   * What becomes of a login while the authority cannot be reached. `fail` (default): it is answered
   * 503, and nobody is signed in. `continue`: it goes on as a plain session of Better Auth, which
   * is given tokens later by `POST /token-authority/exchange`.
   */
  onUnavailable?: "fail" | "continue" | undefined;
}

/** The value for a user. */
export async function valueFor<T>(
  value: ForUser<T> | undefined,
  user: User,
): Promise<T | undefined> {
  if (typeof value !== "function") return value;
  return (value as (user: User) => T | Promise<T>)(user);
}
