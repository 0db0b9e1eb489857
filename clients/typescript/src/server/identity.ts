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

/** Freezes an identity with everything in it. */
export function freeze(identity: Identity): Identity {
  Object.freeze(identity.scopes);
  Object.freeze(identity.audience);
  freezeJson(identity.claims);
  return Object.freeze(identity);
}

function freezeJson(value: Json): void {
  if (typeof value !== "object" || value === null) return;
  for (const one of Object.values(value)) freezeJson(one);
  Object.freeze(value);
}
