/**
 * Takes a signed token in compact form apart (RFC 7515 section 3.1), as strictly as the authority
 * does: base64url without padding or stray bits, UTF-8, one header object, no critical extension.
 */

import { Buffer, isUtf8 } from "node:buffer";

/** A longer token is refused without a further look: the authority's own bound. */
const MAX_LENGTH = 64 * 1024;

/** A longer signature is none of ours: RSA's are 256 bytes, the others' shorter. */
const MAX_SIGNATURE_LENGTH = 512;

/** The algorithms that the authority signs with. */
export type Algorithm = "HS256" | "EdDSA" | "ES256" | "RS256";

/** What a token's header says. Nothing in it is to be trusted until the signature is verified. */
export interface Header {
  /** The text of `alg`; undefined: there is none. */
  readonly alg: string | undefined;
  /** Which key signed; undefined: the token names none. */
  readonly kid: string | undefined;
  /** The media type, without `application/` and in lower case; undefined: there is none. */
  readonly typ: string | undefined;
}

/** A token taken apart. */
export interface Unverified {
  readonly header: Header;
  /** What the signature covers. */
  readonly signed: string;
  /** The encoded payload. */
  readonly payload: string;
  /** The encoded signature. */
  readonly signature: string;
}

/** Whether a text has the form of a signed token: three parts. */
export function looksSigned(token: string): boolean {
  const first = token.indexOf(".");
  const second = token.indexOf(".", first + 1);
  return first >= 0 && second >= 0 && token.indexOf(".", second + 1) < 0;
}

/** Takes a token apart. Undefined: it is malformed. */
export function parse(token: string): Unverified | undefined {
  if (token.length > MAX_LENGTH) return undefined;
  const first = token.indexOf(".");
  const second = token.indexOf(".", first + 1);
  if (first < 0 || second < 0 || token.indexOf(".", second + 1) >= 0) return undefined;
  const header = headerOf(token, first);
  if (!header) return undefined;
  return {
    header,
    signed: token.slice(0, second),
    payload: token.slice(first + 1, second),
    signature: token.slice(second + 1),
  };
}

/** The headers seen last: an authority signs millions of tokens under a handful of headers. */
const headers = new Map<string, Header>();
const MAX_HEADERS = 32;
const MAX_CACHED_HEADER_LENGTH = 256;

/** The header of the last token: comparing it costs half of finding it in the map. */
let latest: { readonly encoded: string; readonly header: Header } | undefined;

function headerOf(token: string, end: number): Header | undefined {
  if (latest?.encoded.length === end && token.startsWith(latest.encoded)) return latest.header;
  const encoded = token.slice(0, end);
  const known = headers.get(encoded);
  const header = known ?? readHeader(encoded);
  if (!header || encoded.length > MAX_CACHED_HEADER_LENGTH) return header;
  if (!known) {
    if (headers.size >= MAX_HEADERS) headers.clear();
    headers.set(encoded, header);
  }
  latest = { encoded, header };
  return header;
}

function readHeader(encoded: string): Header | undefined {
  const json = parseObject(encoded);
  if (!json || Object.hasOwn(json, "crit")) return undefined;
  const { alg, kid, typ } = json;
  if (![alg, kid, typ].every((text) => text === undefined || isText(text))) return undefined;
  return {
    alg: alg as string | undefined,
    kid: kid as string | undefined,
    typ: (typ as string | undefined)?.toLowerCase().replace(/^application\//, ""),
  };
}

/** Whether a value is a text without half a character, which is no valid JSON in UTF-8. */
export function isText(value: unknown): value is string {
  return typeof value === "string" && value.isWellFormed();
}

/** Reads a part of a token that is a JSON object. Undefined: it is not. */
export function parseObject(encoded: string): Record<string, unknown> | undefined {
  const bytes = decode(encoded);
  if (!bytes || !isUtf8(bytes)) return undefined;
  try {
    const json: unknown = JSON.parse(bytes.toString("utf8"));
    const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
    return isObject ? (json as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** The bytes of a signature. Undefined: it is no base64url, or longer than any signature. */
export function signatureOf(token: Unverified): Buffer | undefined {
  const signature = decode(token.signature);
  return signature && signature.length <= MAX_SIGNATURE_LENGTH ? signature : undefined;
}

/**
 * The bytes of a part. Undefined: it is no base64url. Node's decoder skips what it does not know, and
 * takes padding and stray bits. The text of the bytes is then another one: bytes have one text alone.
 */
function decode(encoded: string): Buffer | undefined {
  const bytes = Buffer.from(encoded, "base64url");
  return bytes.toString("base64url") === encoded ? bytes : undefined;
}
