/** Whose token it is. */

/** A value of JSON. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [name: string]: Json };

/** The user of a good access token. It is frozen: requests with the same token share it. */
export interface Identity {
  /** The user's id (`sub`). */
  readonly userId: string;
  /** The session's id (`sid`). Empty: the token names none. */
  readonly sessionId: string;
  /** What the token may be used for (`scope`). Empty: the login asked for no scopes. */
  readonly scopes: readonly string[];
  /** Whom the token is meant for (`aud`). Empty: the login asked for no audience. */
  readonly audience: readonly string[];
  /** The further claims that the login asked for. */
  readonly claims: Readonly<Record<string, Json>>;
  /** When the token expires. */
  readonly expiresAt: Date;
  /** What kind of token it is: a signed JWT, or an opaque session token. */
  readonly method: "jwt" | "session";
}

/** No scopes, or no audience: shared and frozen once, because freezing costs more than a look-up. */
export const NO_TEXTS: readonly string[] = Object.freeze([]);
/** The same for no further claims. */
export const NO_CLAIMS: Readonly<Record<string, Json>> = Object.freeze({});

/** Freezes an identity with everything in it. */
export function freeze(identity: Identity): Identity {
  if (identity.scopes !== NO_TEXTS) Object.freeze(identity.scopes);
  if (identity.audience !== NO_TEXTS) Object.freeze(identity.audience);
  if (identity.claims !== NO_CLAIMS) freezeJson(identity.claims);
  return Object.freeze(identity);
}

function freezeJson(value: Json): void {
  if (typeof value !== "object" || value === null) return;
  for (const one of Object.values(value)) freezeJson(one);
  Object.freeze(value);
}
