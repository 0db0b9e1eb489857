/** The plugin's calls to the authority. */

import { createHash, randomUUID } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import type { Session, User } from "better-auth";
import { SessionService } from "../gen/token_authority/v1/session_service_pb.ts";
import {
  type IssueTokensResponse,
  TokenAuthorityService,
} from "../gen/token_authority/v1/token_authority_service_pb.ts";
import { type AuthorityOptions, connect } from "../transport.ts";
import { type TokenAuthorityOptions, valueFor } from "./options.ts";

/** A login waits this long: an authority that restarts, or its other replicas, are back by then. */
const ISSUE_TIMEOUT_MS = 3_000;
/** The pause between a login's attempts. */
const ISSUE_PAUSE_MS = 200;
/** A logout waits this long. A revocation without an answer is tried again later. */
const REVOKE_TIMEOUT_MS = 2_000;
/** The authority's bounds for what it keeps of the device, in bytes. */
const MAX_USER_AGENT = 512;
const MAX_IP_ADDRESS = 64;

/** The authority, as the plugin sees it. */
export class AuthorityClient {
  readonly #options: TokenAuthorityOptions;
  readonly #tokens: Client<typeof TokenAuthorityService>;
  readonly #sessions: Client<typeof SessionService>;

  constructor(options: TokenAuthorityOptions, where: AuthorityOptions) {
    this.#options = options;
    const { transport } = connect(where);
    this.#tokens = createClient(TokenAuthorityService, transport);
    this.#sessions = createClient(SessionService, transport);
  }

  /** Opens a session for a user. A second call with the same id returns the first one's. */
  async issue(
    session: Session,
    user: User,
    requestId: string,
    persistent: boolean,
  ): Promise<IssueTokensResponse> {
    const { audience, scopes, claims } = this.#options;
    const meantFor = (await valueFor(audience, user)) ?? [];
    const request = {
      requestId,
      persistent,
      userId: user.id,
      audience: typeof meantFor === "string" ? [meantFor] : [...meantFor],
      scopes: [...((await valueFor(scopes, user)) ?? [])],
      claims: { ...(await valueFor(claims, user)), ...impersonation(session) } as JsonObject,
      client: {
        userAgent: cut(session.userAgent ?? "", MAX_USER_AGENT),
        ipAddress: cut(session.ipAddress ?? "", MAX_IP_ADDRESS),
      },
    };
    const deadline = performance.now() + ISSUE_TIMEOUT_MS;
    for (;;) {
      const timeoutMs = Math.max(1, deadline - performance.now());
      try {
        return await this.#tokens.issueTokens(request, { timeoutMs });
      } catch (failure) {
        const isLast = performance.now() + ISSUE_PAUSE_MS > deadline;
        if (isLast || ConnectError.from(failure).code !== Code.Unavailable) throw failure;
        await new Promise((resolve) => setTimeout(resolve, ISSUE_PAUSE_MS));
      }
    }
  }

  /** Ends a session by its id. Idempotent. */
  async revokeSession(sessionId: string): Promise<void> {
    await this.#sessions.revokeSession({ sessionId }, { timeoutMs: REVOKE_TIMEOUT_MS });
  }

  /** Ends a session by one of its refresh tokens. Idempotent. */
  async revokeRefreshToken(refreshToken: string): Promise<void> {
    await this.#tokens.revokeRefreshToken({ refreshToken }, { timeoutMs: REVOKE_TIMEOUT_MS });
  }
}

/** Tokens of an impersonated user say so, and the backend decides what such a session may do. */
function impersonation(session: Session & { impersonatedBy?: string | null }): object {
  return session.impersonatedBy ? { impersonated_by: session.impersonatedBy } : {};
}

/** Whether the same request will always fail. */
export function isFinal(failure: unknown): boolean {
  return ConnectError.from(failure).code === Code.InvalidArgument;
}

/** An id for a login. */
export const newRequestId = randomUUID;

/** The id for moving a session over: the same for each attempt (`docs/rollout.md`). */
export function moveRequestId(sessionToken: string): string {
  const digest = createHash("sha256").update("token-authority/move/v1").update(sessionToken);
  return digest.digest("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, "$1-$2-$3-$4-$5");
}

/** The first bytes of a text, without half a character. */
function cut(text: string, bytes: number): string {
  const buffer = Buffer.from(text);
  if (buffer.length <= bytes) return text;
  let end = bytes;
  // A byte that continues a character begins with the bits 10.
  while (end > 0 && ((buffer[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return buffer.toString("utf8", 0, end);
}
