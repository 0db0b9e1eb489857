/** The verifier: decides about access tokens, and asks the authority only where it has to. */

import { type AuthorityOptions, type Connection, connect } from "../transport.ts";
import { RecentMap } from "./cache.ts";
import { type Claims, type Demands, isMeantFor, judge, read } from "./claims.ts";
import { TokenError, type TokenErrorReason } from "./errors.ts";
import type { Identity } from "./identity.ts";
import { looksSigned, parse, type Unverified } from "./jws.ts";
import {
  fixedKeys,
  isSignedBy,
  type JwkSet,
  type Key,
  type KeySource,
  publicKeys,
  RemoteKeys,
  secretKey,
} from "./keys.ts";
import { mayBeOpaque, OpaqueTokens } from "./opaque.ts";
import { Revocations, type State } from "./revocations.ts";

/** How tokens are verified. Missing options come from the environment. */
export interface VerifierOptions {
  /** The authority's `JWT_SECRET`. Default: `JWT_SECRET`, unless keys are given otherwise. */
  secret?: string | Uint8Array | undefined;
  /** A secret that still verifies, `JWT_SECRET_PREVIOUS`. */
  previousSecret?: string | Uint8Array | undefined;
  /** Where the authority publishes its key set. Default: `TOKEN_AUTHORITY_JWKS_URL`. */
  jwksUrl?: string | undefined;
  /** A key set that never changes. */
  jwks?: JwkSet | undefined;
  /** The `iss` that a token must have. Default: any, or none. */
  issuer?: string | undefined;
  /** Whom a token must be meant for, one of these. Default: anybody. */
  audience?: string | readonly string[] | undefined;
  /** By how many seconds clocks may differ: the authority's `JWT_LEEWAY_SECONDS`. Default: 0. */
  leeway?: number | undefined;
  /**
   * The authority, which tells of revocations and judges opaque session tokens. Default:
   * `TOKEN_AUTHORITY_ADDRESS` and `TOKEN_AUTHORITY_API_KEY`. `false`, or neither: revoked tokens
   * are accepted until they expire, and session tokens are refused.
   */
  authority?: AuthorityOptions | false | undefined;
  /**
   * How old knowledge of revocations may be, in seconds. Where it is older, tokens are refused as
   * `unavailable`. Default: the verifier goes on with what it knows. Before the first revocations
   * were read, tokens are refused as `unavailable` either way.
   */
  maxStaleness?: number | undefined;
  /** Tells the time, in seconds since the Unix epoch. For tests. */
  now?: (() => number) | undefined;
}

/** What a request must bring along. */
export interface Requirements {
  /** The scopes that the token must have, all of them. Default: none. */
  scopes?: readonly string[] | undefined;
}

/** As many verified tokens are remembered: some 20 MB at the most, 10 MB as a rule. */
const MAX_REMEMBERED = 10_000;
/** A longer token is not remembered. */
const MAX_REMEMBERED_LENGTH = 4096;

/**
 * Tokens are remembered by the end of their text, since a `Map` reads a key from its begin to its end.
 * It is 144 bits of the signature, so no two tokens share it. The whole text is compared in any case.
 */
const endOf = (token: string): string => token.slice(-24);

/** A token whose signature was verified. */
interface Verified {
  readonly token: string;
  readonly claims: Claims;
  readonly key: Key;
}

/** Verifies access tokens. */
export class Verifier {
  readonly #keys: KeySource;
  readonly #shared: readonly Key[];
  /** Without any keys, the authority is asked about every token. */
  readonly #hasKeys: boolean;
  readonly #demands: Demands;
  readonly #maxStaleness: number | undefined;
  readonly #now: () => number;
  readonly #remembered = new RecentMap<Verified>(MAX_REMEMBERED);
  readonly #connection: Connection | undefined;
  readonly #revocations: Revocations | undefined;
  readonly #opaque: OpaqueTokens | undefined;

  /** @internal */
  constructor(options: VerifierOptions) {
    const { audience, issuer, leeway = 0, maxStaleness, authority } = options;
    const { secret, previousSecret, jwksUrl, jwks } = options;
    const secrets = [secret, previousSecret].filter((one) => one !== undefined);
    this.#shared = secrets.map(secretKey);
    if (jwksUrl !== undefined) this.#keys = new RemoteKeys(jwksUrl);
    else this.#keys = fixedKeys(jwks ? publicKeys(jwks) : []);
    this.#hasKeys = secrets.length > 0 || jwksUrl !== undefined || jwks !== undefined;
    this.#demands = {
      audience: typeof audience === "string" ? [audience] : audience,
      issuer,
      leeway,
    };
    this.#maxStaleness = maxStaleness;
    this.#now = options.now ?? (() => Date.now() / 1000);
    if (authority) {
      this.#connection = connect(authority);
      this.#revocations = new Revocations(() => connect(authority), leeway);
      this.#opaque = new OpaqueTokens(this.#connection.transport);
    }
  }

  /**
   * Verifies an access token, without "Bearer".
   *
   * @throws TokenError if it is not good, or nobody can tell (`unavailable`).
   */
  async verify(token: string): Promise<Identity> {
    const recalled = this.#recall(token);
    if (!recalled && this.#opaque && mayBeOpaque(token) && !(this.#hasKeys && looksSigned(token))) {
      const identity = await this.#opaque.verify(token);
      if (!isMeantFor(identity, this.#demands.audience)) throw new TokenError("wrong-audience");
      return identity;
    }
    const signed = recalled ?? this.#verifySigned(token);
    // Nearly always the claims are there: waiting for them would be a turn for nothing.
    const { identity, session, epoch } = signed instanceof Promise ? await signed : signed;
    const known = this.#revocations;
    // Before the first heartbeat nobody can tell what is revoked.
    if (known && !known.isReady && !(await known.ready())) {
      throw new TokenError("unavailable", { message: UNHEARD });
    }
    const refusal = known?.refusal(session, epoch);
    if (refusal) throw new TokenError(refusal);
    if (this.#isStale) throw new TokenError("unavailable", { message: STALE });
    return identity;
  }

  /**
   * Verifies the access token in a request's `Authorization` header.
   *
   * @throws TokenError; its `toResponse()` is the answer to give.
   */
  async authenticate(request: Request, requirements: Requirements = {}): Promise<Identity> {
    return this.#authenticate(request.headers.get("authorization") ?? "", requirements);
  }

  /** A middleware for Express that sets `request.identity`, or answers 401, 403 or 503. */
  express(requirements: Requirements = {}): ExpressMiddleware {
    return (request, response, next) => {
      this.#authenticate(request.headers.authorization ?? "", requirements).then(
        (identity) => {
          request.identity = identity;
          next();
        },
        (failure: unknown) => {
          if (!(failure instanceof TokenError)) {
            next(failure);
            return;
          }
          response.set({ ...failure.headers, "cache-control": "no-store" });
          response.status(failure.status).json(failure.body);
        },
      );
    };
  }

  /** How fresh the knowledge of revocations is. Undefined: no authority is asked. */
  get state(): State | undefined {
    return this.#revocations?.state;
  }

  /** Ends the stream of revocations and closes the connection. */
  async close(): Promise<void> {
    this.#revocations?.close();
    this.#connection?.close();
  }

  async #authenticate(header: string, { scopes = [] }: Requirements): Promise<Identity> {
    const identity = await this.verify(BEARER.exec(header)?.[1] ?? "");
    if (scopes.every((scope) => identity.scopes.includes(scope))) return identity;
    throw new TokenError("insufficient-scope");
  }

  /** What is remembered of a token. Undefined: nothing. */
  #recall(token: string): Claims | undefined {
    const remembered = this.#remembered.get(endOf(token));
    if (remembered?.token !== token || !this.#isInForce(remembered.key)) return undefined;
    return this.#judge(remembered.claims);
  }

  /** Verifies a token that is not remembered. A promise: its key has to be fetched first. */
  #verifySigned(token: string): Claims | Promise<Claims> {
    const unverified = parse(token);
    if (!unverified) throw new TokenError("malformed");
    const { kid } = unverified.header;
    const keys = this.#candidates(kid);
    if (keys.length > 0) return this.#verifyWith(keys, unverified, token);
    if (kid === undefined) throw new TokenError("unknown-key");
    return this.#keys.lookFor(kid).then((isWorthwhile) => {
      const found = isWorthwhile ? this.#candidates(kid) : [];
      if (found.length === 0) throw new TokenError("unknown-key");
      return this.#verifyWith(found, unverified, token);
    });
  }

  #verifyWith(keys: readonly Key[], unverified: Unverified, token: string): Claims {
    const key = keys.find((key) => isSignedBy(key, unverified));
    if (!key) throw new TokenError("bad-signature");
    const claims = read(unverified.header, unverified.payload, key.algorithm === "HS256");
    if (!claims) throw new TokenError("malformed");
    this.#judge(claims);
    // A token that names no key is held against the keys of the moment.
    if (unverified.header.kid !== undefined && token.length <= MAX_REMEMBERED_LENGTH) {
      this.#remembered.set(endOf(token), { token, claims, key });
    }
    return claims;
  }

  #judge(claims: Claims): Claims {
    const refusal = judge(claims, Math.floor(this.#now()), this.#demands);
    if (refusal) throw new TokenError(refusal);
    return claims;
  }

  /** Whether a key still counts, which has verified before. */
  #isInForce(key: Key): boolean {
    return this.#shared.includes(key) || this.#keys.known(key.kid ?? "").length > 0;
  }

  /**
   * The keys of that name. A token without a name is held against the secret that signs now: which
   * public key signs now, a key set does not say.
   */
  #candidates(kid: string | undefined): Key[] {
    if (kid === undefined) return this.#shared.slice(0, 1);
    const shared = this.#shared.find((key) => key.kid === kid);
    return shared ? [shared] : this.#keys.known(kid);
  }

  get #isStale(): boolean {
    if (this.#maxStaleness === undefined || !this.#revocations) return false;
    return this.#revocations.staleness > this.#maxStaleness;
  }
}

const BEARER = /^bearer +([^ ]+) *$/i;
const UNHEARD = "no revocations were read yet, and the authority cannot be reached";
const STALE = "revocations are not known up to now; the authority cannot be reached";

/** A middleware of Express, without its types. */
export type ExpressMiddleware = (
  request: { headers: { authorization?: string | undefined }; identity?: Identity },
  response: ExpressResponse,
  next: (failure?: unknown) => void,
) => void;

/** What the middleware needs of Express's response. */
export interface ExpressResponse {
  set(headers: Record<string, string>): unknown;
  status(code: number): { json(body: unknown): unknown };
}

/** Why a token was refused, for exhaustive handling. */
export type { TokenErrorReason };
