/** Reads and judges the claims of an access token (RFC 7519, RFC 9068), as the authority does. */

import type { TokenErrorReason } from "./errors.ts";
import { freeze, type Identity, type Json, NO_CLAIMS, NO_TEXTS } from "./identity.ts";
import { type Header, isText, parseObject } from "./jws.ts";

/** Deeper claims are refused, as by the authority, whose answers a gRPC client could not decode. */
const MAX_DEPTH = 32;

/** The claims that an identity has a place for, or that only the verifier needs. */
const REGISTERED = new Set([
  "sub",
  "exp",
  "iat",
  "nbf",
  "type",
  "jti",
  "sid",
  "iss",
  "aud",
  "scope",
]);

/** What the text of a token says, once its signature was verified. It never changes. */
export interface Claims {
  readonly identity: Identity;
  /** The session in the form that revocations name it. */
  readonly session: string;
  /** How often the session's access tokens had been declared stale when it was minted. */
  readonly epoch: number;
  readonly expiresAt: number;
  readonly notBefore: number;
  readonly issuer: string | undefined;
  readonly isAccessToken: boolean;
}

/** Reads the payload of a token whose signature was verified. Undefined: it is malformed. */
export function read(header: Header, payload: string, isShared: boolean): Claims | undefined {
  const json = parseObject(payload);
  if (!json) return undefined;
  const { sub, exp, iat, nbf, type, jti, sid, iss } = json;
  const audience = audienceOf(json["aud"]);
  const scopes = scopesOf(json["scope"]);
  if (!isText(sub) || !isDate(exp) || !audience || !scopes) return undefined;
  if (!isLenient(sid) || !isLenient(iss)) return undefined;
  if (!isOptionalDate(iat) || !isOptionalDate(nbf)) return undefined;
  if (!isOptionalText(type) || !isOptionalText(jti)) return undefined;
  const claims = furtherOf(json);
  if (!claims) return undefined;
  const expiresAt = Math.trunc(exp);
  const sessionId = textOf(sid) ?? "";
  return {
    identity: freeze({
      userId: sub,
      sessionId,
      scopes,
      audience,
      claims,
      expiresAt: new Date(Math.min(expiresAt * 1000, MAX_DATE)),
      method: "jwt",
    }),
    session: sessionId.toLowerCase(),
    epoch: epochOf(jti),
    expiresAt,
    notBefore: Math.max(startOf(iat), startOf(nbf)),
    issuer: textOf(iss),
    isAccessToken: type === "access" && isAccessTokenType(header.typ, isShared),
  };
}

/** A UUID of version 4. The 10th to 12th of its bytes are the token's epoch; any other `jti` has 0. */
const WITH_EPOCH =
  /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[\da-f]{2}([\da-f]{2})-([\da-f]{4})[\da-f]{8}$/i;

function epochOf(jti: string | undefined): number {
  // Nearly all are of version 8, whose epoch is 0: one letter tells, without an expression.
  const match = jti?.charAt(14) === "4" ? WITH_EPOCH.exec(jti) : undefined;
  return match ? Number.parseInt(`${match[1]}${match[2]}`, 16) : 0;
}

/** The latest moment that a `Date` can hold. */
const MAX_DATE = 8_640_000_000_000_000;

/**
 * Which `typ` an access token may have: RFC 9068 asks for `at+jwt`. Backends that share a secret also
 * sign tokens of their own, with `JWT` or none.
 */
function isAccessTokenType(typ: string | undefined, isShared: boolean): boolean {
  return typ === "at+jwt" || (isShared && (typ === undefined || typ === "jwt"));
}

/** Whether a claim that no library checks is JSON that the authority reads, of whatever type. */
const isLenient = (value: unknown): boolean => value === undefined || isSound(value, 1);

/** Such a claim as text. Undefined: it has another type. */
function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return Number.isSafeInteger(value) ? String(value) : undefined;
}

const isDate = (value: unknown): value is number =>
  typeof value === "number" && Number.isFinite(value);

const isOptionalDate = (value: unknown): value is number | undefined =>
  value === undefined || isDate(value);

const isOptionalText = (value: unknown): value is string | undefined =>
  value === undefined || isText(value);

const startOf = (date: number | undefined): number =>
  date === undefined ? Number.NEGATIVE_INFINITY : Math.trunc(date);

function audienceOf(aud: unknown): readonly string[] | undefined {
  if (aud === undefined || aud === null) return NO_TEXTS;
  const all = Array.isArray(aud) ? aud : [aud];
  return all.every(isText) ? all : undefined;
}

function scopesOf(scope: unknown): readonly string[] | undefined {
  if (scope === undefined) return NO_TEXTS;
  if (!isLenient(scope)) return undefined;
  const all = Array.isArray(scope) ? scope : [scope];
  const texts = all.filter((one) => typeof one === "string");
  return texts.flatMap((one) => one.split(" ")).filter((one) => one !== "");
}

function furtherOf(json: Record<string, unknown>): Readonly<Record<string, Json>> | undefined {
  let further = NO_CLAIMS;
  for (const name of Object.keys(json)) {
    if (REGISTERED.has(name)) continue;
    const value = json[name];
    if (further === NO_CLAIMS) further = {};
    if (!name.isWellFormed() || !isSound(value, 1)) return undefined;
    // Not by assignment, which would set the prototype for the claim `__proto__`.
    Object.defineProperty(further, name, { value, enumerable: true });
  }
  return further;
}

/** Whether the authority's parser takes the value, too. */
function isSound(value: unknown, depth: number): value is Json {
  if (depth > MAX_DEPTH) return false;
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(
    ([name, one]) => name.isWellFormed() && isSound(one, depth + 1),
  );
}

/** What a token must be like, beside its text. */
export interface Demands {
  readonly audience: readonly string[] | undefined;
  readonly issuer: string | undefined;
  /** In seconds. */
  readonly leeway: number;
}

/** Judges what changes with time and with the verifier. Undefined: the token is good. */
export function judge(claims: Claims, now: number, demands: Demands): TokenErrorReason | undefined {
  if (now - demands.leeway >= claims.expiresAt) return "expired";
  if (claims.notBefore > now + demands.leeway) return "not-yet-valid";
  if (!claims.isAccessToken) return "wrong-type";
  if (demands.issuer !== undefined && claims.issuer !== demands.issuer) return "malformed";
  return isMeantFor(claims.identity, demands.audience) ? undefined : "wrong-audience";
}

/** Whether a token is meant for one of the audiences. */
export function isMeantFor(identity: Identity, audience: readonly string[] | undefined): boolean {
  return audience === undefined || audience.some((one) => identity.audience.includes(one));
}
