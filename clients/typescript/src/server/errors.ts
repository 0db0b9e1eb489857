/** Why a token is refused, and how that is said over HTTP. */

import { InactiveReason } from "../gen/token_authority/v1/auth_pb.ts";

/**
 * Why a token was refused.
 *
 * All but the last two are the authority's own `InactiveReason`s, in lower case and with hyphens.
 * `unavailable`: nobody can tell, since the authority or its keys cannot be reached.
 * `insufficient-scope`: the token is good but lacks a scope that was asked for.
 */
export type TokenErrorReason =
  | "unspecified"
  | "malformed"
  | "bad-signature"
  | "expired"
  | "not-yet-valid"
  | "revoked"
  | "wrong-type"
  | "wrong-audience"
  | "unknown-key"
  | "not-found"
  | "stale"
  | "unavailable"
  | "insufficient-scope";

/** How many seconds a client waits after `unavailable`: heartbeats and retries are as frequent. */
const RETRY_AFTER_SECONDS = "1";

/** A token was refused. */
export class TokenError extends Error {
  override readonly name = "TokenError";
  /** Why. Safe to show to the client. */
  readonly reason: TokenErrorReason;

  constructor(reason: TokenErrorReason, options?: ErrorOptions & { message?: string }) {
    super(options?.message ?? MESSAGES[reason], options);
    this.reason = reason;
  }

  /** The HTTP status: 401, 403 for a missing scope, or 503 if nobody can tell. */
  get status(): 401 | 403 | 503 {
    if (this.reason === "unavailable") return 503;
    return this.reason === "insufficient-scope" ? 403 : 401;
  }

  /** The HTTP headers of the answer (RFC 6750 section 3). */
  get headers(): Record<string, string> {
    if (this.reason === "unavailable") return { "retry-after": RETRY_AFTER_SECONDS };
    return { "www-authenticate": `Bearer error="${this.code}"` };
  }

  /** The body of the answer. */
  get body(): { error: string; reason: TokenErrorReason } {
    return { error: this.code, reason: this.reason };
  }

  /** The whole answer, for frameworks that work with fetch's `Response`. */
  toResponse(): Response {
    return Response.json(this.body, {
      status: this.status,
      headers: { ...this.headers, "cache-control": "no-store" },
    });
  }

  private get code(): string {
    if (this.reason === "unavailable") return "temporarily_unavailable";
    return this.reason === "insufficient-scope" ? "insufficient_scope" : "invalid_token";
  }
}

const MESSAGES: Record<TokenErrorReason, string> = {
  unspecified: "the token is not good",
  malformed: "this is not an access token",
  "bad-signature": "the signature does not fit",
  expired: "the token has expired",
  "not-yet-valid": "the token is not valid yet",
  revoked: "the session was revoked",
  "wrong-type": "the token is not an access token",
  "wrong-audience": "the token is meant for another audience",
  "unknown-key": "the token names an unknown key",
  "not-found": "the token belongs to no session",
  stale: "the token's grant has changed; refresh it",
  unavailable: "the token cannot be checked now; try again",
  "insufficient-scope": "the token lacks a scope",
};

/** The reason of an answer. A newer authority may know reasons that this package does not. */
export function reasonOf(reason: InactiveReason): TokenErrorReason {
  const name = (InactiveReason[reason] ?? "").toLowerCase().replaceAll("_", "-");
  return name in MESSAGES ? (name as TokenErrorReason) : "unspecified";
}
