/** Reads and judges the claims of an access token (RFC 7519, RFC 9068), as the authority does. */

import type { TokenErrorReason } from "./errors.ts";
import { freeze, type Identity, type Json } from "./identity.ts";
import { type Header, isText, parseObject } from "./jws.ts";

/** Deeper claims are refused: the authority's parser has the same bound. */
const MAX_DEPTH = 127;

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
  if (![iat, nbf].every((date) => date === undefined || isDate(date))) return undefined;
  if (![type, jti, sid, iss].every((text) => text === undefined || isText(text))) return undefined;
  const claims = furtherOf(json);
  if (!claims) return undefined;
  const expiresAt = Math.trunc(exp);
  const sessionId = (sid as string | undefined) ?? "";
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
    expiresAt,
    notBefore: Math.max(startOf(iat), startOf(nbf)),
    issuer: iss as string | undefined,
    isAccessToken: type === "access" && isAccessTokenType(header.typ, isShared),
  };
}

/** The latest moment that a `Date` can hold. */
const MAX_DATE = 8_640_000_000_000_000;

/** Which `typ` an access token may have: RFC 9068 asks for `at+jwt`. */
function isAccessTokenType(typ: string | undefined, _isShared: boolean): boolean {
  return typ === "at+jwt";
}

const isDate = (value: unknown): value is number =>
  typeof value === "number" && Number.isFinite(value);

const startOf = (date: unknown): number =>
  date === undefined ? Number.NEGATIVE_INFINITY : Math.trunc(date as number);

function audienceOf(aud: unknown): string[] | undefined {
  if (aud === undefined) return [];
  const all = Array.isArray(aud) ? aud : [aud];
  return all.every(isText) ? all : undefined;
}

function scopesOf(scope: unknown): string[] | undefined {
  if (scope === undefined) return [];
  return isText(scope) ? scope.split(" ").filter((one) => one !== "") : undefined;
}

function furtherOf(json: Record<string, unknown>): Record<string, Json> | undefined {
  const further: Record<string, Json> = {};
  for (const name of Object.keys(json)) {
    if (REGISTERED.has(name)) continue;
    const value = json[name];
    if (!name.isWellFormed() || !isSound(value, 1)) return undefined;
    // Not by assignment, which would set the prototype for the claim `__proto__`.
    Object.defineProperty(further, name, { value, enumerable: true });
  }
  return further;
}

/** Whether the authority's parser takes the value, too. */
function isSound(value: unknown, depth: number): value is Json {
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  if (depth >= MAX_DEPTH) return false;
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
