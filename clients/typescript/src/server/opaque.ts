/** Asks the authority about tokens that nobody else can judge, many in one call. */

import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { AuthMethod } from "../gen/token_authority/v1/auth_pb.ts";
import {
  TokenAuthorityService,
  type ValidateTokenResponse,
} from "../gen/token_authority/v1/token_authority_service_pb.ts";
import { reasonOf, TokenError } from "./errors.ts";
import { freeze, type Identity, type Json } from "./identity.ts";

/** The authority's own bound for one call. */
const MAX_TOKENS = 1_000;
/** A longer call may be refused: the authority takes 4 MiB. */
const MAX_BYTES = 1024 * 1024;
/** A longer text is no token of any kind that the authority knows. */
const MAX_LENGTH = 4096;
const TIMEOUT_MS = 3_000;

/** Visible ASCII: no opaque token has anything else. */
const IS_OPAQUE = /^[\x21-\x7e]+$/;

/** Whether a text may be an opaque token. */
export function mayBeOpaque(token: string): boolean {
  return token.length <= MAX_LENGTH && IS_OPAQUE.test(token);
}

interface Waiting {
  resolve(identity: Identity): void;
  reject(failure: TokenError): void;
}

/** Gathers the tokens of one turn of the event loop. */
export class OpaqueTokens {
  readonly #client: Client<typeof TokenAuthorityService>;
  #gathered = new Map<string, Waiting[]>();
  #bytes = 0;

  constructor(transport: Transport) {
    this.#client = createClient(TokenAuthorityService, transport);
  }

  /** Asks about a token. */
  verify(token: string): Promise<Identity> {
    return new Promise((resolve, reject) => {
      if (this.#gathered.size === 0) setImmediate(() => this.#send());
      const waiting = this.#gathered.get(token);
      if (waiting) {
        waiting.push({ resolve, reject });
        return;
      }
      this.#gathered.set(token, [{ resolve, reject }]);
      this.#bytes += token.length;
      if (this.#gathered.size === MAX_TOKENS || this.#bytes > MAX_BYTES) this.#send();
    });
  }

  #send(): void {
    const asked = this.#gathered;
    this.#gathered = new Map();
    this.#bytes = 0;
    if (asked.size > 0) void this.#ask(asked);
  }

  async #ask(asked: Map<string, Waiting[]>): Promise<void> {
    try {
      const tokens = [...asked.keys()];
      const { results } = await this.#client.validateTokens({ tokens }, { timeoutMs: TIMEOUT_MS });
      if (results.length !== tokens.length) throw new Error("the authority left out answers");
      [...asked.values()].forEach((waiting, place) => {
        settle(waiting, results[place] as ValidateTokenResponse);
      });
    } catch (cause) {
      for (const { reject } of [...asked.values()].flat()) {
        reject(new TokenError("unavailable", { cause }));
      }
    }
  }
}

function settle(waiting: Waiting[], result: ValidateTokenResponse): void {
  const identity = result.active ? identityOf(result) : undefined;
  for (const { resolve, reject } of waiting) {
    if (identity) resolve(identity);
    else reject(new TokenError(reasonOf(result.inactiveReason)));
  }
}

function identityOf(result: ValidateTokenResponse): Identity {
  return freeze({
    userId: result.userId,
    sessionId: result.sessionId,
    scopes: result.scopes,
    audience: result.audience,
    claims: (result.claims ?? {}) as Record<string, Json>,
    expiresAt: result.expiresAt ? timestampDate(result.expiresAt) : new Date(0),
    method: result.authMethod === AuthMethod.JWT ? "jwt" : "session",
  });
}
