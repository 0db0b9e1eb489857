/**
 * Protects a backend: verifies access tokens locally, with revocations in force within a second.
 *
 * @module
 */

import type { AuthorityOptions } from "../transport.ts";
import type { Identity } from "./identity.ts";
import { Verifier, type VerifierOptions } from "./verifier.ts";

export type { AuthorityOptions, TlsOptions } from "../transport.ts";
export { TokenError, type TokenErrorReason } from "./errors.ts";
export type { Identity, Json } from "./identity.ts";
export type { JwkSet } from "./keys.ts";
export type { State } from "./revocations.ts";
export type {
  ExpressMiddleware,
  ExpressResponse,
  Requirements,
  Verifier,
  VerifierOptions,
} from "./verifier.ts";

declare global {
  namespace Express {
    interface Request {
      /** Whose token the request brought along: set by `verifier.express()`. */
      identity?: Identity;
    }
  }
}

/**
 * Creates a verifier. It connects to the authority at once and stays connected until `close()`.
 *
 * @throws TypeError if there is nothing to verify with.
 */
export function createVerifier(options: VerifierOptions = {}): Verifier {
  const environment = globalThis.process?.env ?? {};
  const { secret, jwksUrl, jwks, authority } = options;
  const keys =
    secret === undefined && jwksUrl === undefined && jwks === undefined ? keysOf(environment) : {};
  const complete = { ...options, ...keys, authority: authority ?? authorityOf(environment) };
  const { authority: asked, ...rest } = complete;
  if (!rest.secret && !rest.jwksUrl && !rest.jwks && !asked) {
    throw new TypeError("createVerifier needs a secret, a jwksUrl or an authority");
  }
  return new Verifier(complete);
}

type Environment = Record<string, string | undefined>;

function keysOf(environment: Environment): Partial<VerifierOptions> {
  return {
    secret: environment["JWT_SECRET"] || undefined,
    previousSecret: environment["JWT_SECRET_PREVIOUS"] || undefined,
    jwksUrl: environment["TOKEN_AUTHORITY_JWKS_URL"] || undefined,
  };
}

function authorityOf(environment: Environment): AuthorityOptions | undefined {
  const address = environment["TOKEN_AUTHORITY_ADDRESS"];
  return address ? { address, apiKey: environment["TOKEN_AUTHORITY_API_KEY"] } : undefined;
}
