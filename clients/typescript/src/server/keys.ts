/** The keys that verify signatures: shared secrets, and the authority's published key set. */

import { Buffer } from "node:buffer";
import {
  createHmac,
  createPublicKey,
  createSecretKey,
  type JsonWebKey,
  type KeyObject,
  verify,
} from "node:crypto";
import { TokenError } from "./errors.ts";
import { type Algorithm, signatureOf, type Unverified } from "./jws.ts";

/** A set of public keys (RFC 7517 section 5). */
export interface JwkSet {
  readonly keys: readonly (JsonWebKey & { kid?: string; alg?: string; use?: string })[];
}

/** A key that verifies, always with its own algorithm: a token never chooses it. */
export interface Key {
  readonly kid: string | undefined;
  readonly algorithm: Algorithm;
  /** Whether the token's signature is this key's. */
  fits(token: Unverified): boolean;
}

/** Whether the token's signature is this key's. */
export function isSignedBy(key: Key, token: Unverified): boolean {
  return token.header.alg === key.algorithm && key.fits(token);
}

/** The key of a shared secret. Its name follows from the secret, as in the authority. */
export function secretKey(secret: string | Uint8Array): Key {
  const key = createSecretKey(typeof secret === "string" ? Buffer.from(secret) : secret);
  const mac = (text: string) => createHmac("sha256", key).update(text).digest("base64url");
  // Twelve letters are nine bytes.
  const name = mac("token-authority/kid/v1").slice(0, 12);
  return {
    kid: `hs-${name}`,
    algorithm: "HS256",
    // The encoded form is compared: nothing has to be decoded, and no other spelling passes.
    fits: ({ signed, signature }) => isSame(mac(signed), signature),
  };
}

/** Compares texts in a time that does not tell how much of them is alike. */
function isSame(one: string, other: string): boolean {
  if (one.length !== other.length) return false;
  let difference = 0;
  for (let place = 0; place < one.length; place += 1) {
    difference |= one.charCodeAt(place) ^ other.charCodeAt(place);
  }
  return difference === 0;
}

/** The keys of a set that this package can use. Others are passed over (RFC 7517 section 5). */
export function publicKeys(set: JwkSet): Key[] {
  return set.keys.flatMap((jwk) => {
    const algorithm = algorithmOf(jwk);
    if (!algorithm || (jwk.use ?? "sig") !== "sig" || (jwk.alg ?? algorithm) !== algorithm)
      return [];
    try {
      const key = createPublicKey({ key: jwk, format: "jwk" });
      return isStrong(algorithm, key) ? [publicKey(jwk.kid, algorithm, key)] : [];
    } catch {
      return [];
    }
  });
}

function algorithmOf({ kty, crv }: JsonWebKey): Algorithm | undefined {
  if (kty === "OKP" && crv === "Ed25519") return "EdDSA";
  if (kty === "EC" && crv === "P-256") return "ES256";
  return kty === "RSA" ? "RS256" : undefined;
}

/** RFC 7518 section 3.3 asks for 2048 bits. */
function isStrong(algorithm: Algorithm, key: KeyObject): boolean {
  return algorithm !== "RS256" || (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048;
}

function publicKey(kid: string | undefined, algorithm: Algorithm, key: KeyObject): Key {
  const hash = algorithm === "EdDSA" ? null : "sha256";
  const input = algorithm === "ES256" ? { key, dsaEncoding: "ieee-p1363" as const } : key;
  return {
    kid,
    algorithm,
    fits: (token) => {
      const signature = signatureOf(token);
      return signature !== undefined && verify(hash, Buffer.from(token.signed), input, signature);
    },
  };
}

/** Where keys come from. */
export interface KeySource {
  /** The keys of that name as far as is known now. */
  known(kid: string): Key[];
  /** Looks for a key that is not known. True: it is worth asking `known` once more. */
  lookFor(kid: string): Promise<boolean>;
}

/** Keys that never change. */
export function fixedKeys(keys: readonly Key[]): KeySource {
  return {
    known: (kid) => keys.filter((key) => key.kid === kid),
    lookFor: async () => false,
  };
}

/** A key set is fetched again in the background after this time: the authority's `max-age`. */
const MAX_AGE_MS = 5 * 60_000;
/** The set is fetched at most once in this time, whatever tokens name. */
const COOLDOWN_MS = 10_000;
/** The same before the first set was read, when every token needs it. */
const FIRST_COOLDOWN_MS = 1_000;
/** A fetch that takes longer has failed. */
const FETCH_TIMEOUT_MS = 5_000;
/** A longer document is no key set of ours. */
const MAX_SET_LENGTH = 1024 * 1024;

/**
 * The keys that an authority publishes. One fetch serves all who wait for it. A key that is not in
 * the set is looked for at most once in the cooldown, so that invented names cost nothing.
 */
export class RemoteKeys implements KeySource {
  readonly #url: string;
  #keys: Key[] | undefined;
  #attemptedAt = Number.NEGATIVE_INFINITY;
  #failure: unknown;
  #fetching: Promise<void> | undefined;

  constructor(url: string) {
    this.#url = new URL(url).href;
  }

  known(kid: string): Key[] {
    const age = performance.now() - this.#attemptedAt;
    if (this.#keys && age > (this.#failure ? COOLDOWN_MS : MAX_AGE_MS)) void this.#fetch();
    return (this.#keys ?? []).filter((key) => key.kid === kid);
  }

  async lookFor(kid: string): Promise<boolean> {
    // Secrets' keys are in no set.
    if (kid.startsWith("hs-") && this.#keys) return false;
    const cooldown = this.#keys ? COOLDOWN_MS : FIRST_COOLDOWN_MS;
    const isCoolingDown = performance.now() - this.#attemptedAt < cooldown;
    if (!this.#fetching && isCoolingDown && !this.#failure) return false;
    if (this.#fetching || !isCoolingDown) await this.#fetch();
    if (this.#failure) {
      // The key may be in the set that could not be read.
      throw new TokenError("unavailable", { cause: this.#failure });
    }
    return true;
  }

  #fetch(): Promise<void> {
    this.#fetching ??= this.#load().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #load(): Promise<void> {
    this.#attemptedAt = performance.now();
    try {
      this.#keys = publicKeys(await fetchSet(this.#url));
      this.#failure = undefined;
    } catch (failure) {
      this.#failure = failure;
    }
  }
}

async function fetchSet(url: string): Promise<JwkSet> {
  const answer = await fetch(url, {
    headers: { accept: "application/jwk-set+json, application/json" },
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  const text = await answer.text();
  const set = text.length <= MAX_SET_LENGTH ? JSON.parse(text) : undefined;
  if (!Array.isArray(set?.keys)) throw new Error(`${url} is no JWK Set`);
  return set;
}
