/**
 * Measures the verifier beside jose, jsonwebtoken and fast-jwt, with HS256 tokens. Run by
 * `npm run bench`; with `-- --check` it fails where a bound is missed.
 *
 * - again: one token, verified over and over, as a page's requests bring it
 * - first: tokens that were never seen before
 * - following: the same, with a stream of revocations that told of none, or of 100,000 sessions
 *
 * Many short rounds, each in a new order. What is compared are the measures of one round, which saw the
 * same machine, and the median of these ratios counts. So other work of the machine disturbs little.
 */

import { createHmac, randomUUID } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js";
import { createVerifier as createFastJwt } from "fast-jwt";
import { jwtVerify } from "jose";
import jsonwebtoken from "jsonwebtoken";
import { WatchRevocationsResponseSchema } from "../src/gen/token_authority/v1/session_service_pb.ts";
import { createVerifier, type Verifier } from "../src/server/index.ts";

const SECRET = "the secret of the bench: no secret at all";
const TOKENS = 50;
const ROUNDS = 600;
/** The first rounds are not counted: the engine is still compiling. */
const WARM_UP = 50;
/** It tries a secret as a key in PEM first, which takes it a hundred times as long: fewer rounds. */
const SLOW = "jsonwebtoken";
const REVOKED = 100_000;

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
const mac = (text: string) => createHmac("sha256", SECRET).update(text).digest();
const kid = `hs-${mac("token-authority/kid/v1").subarray(0, 9).toString("base64url")}`;
const header = encode({ alg: "HS256", typ: "at+jwt", kid });

function mint(): string {
  const iat = Math.floor(Date.now() / 1000) - 1;
  const claims = {
    sub: "alice",
    iat,
    exp: iat + 1800,
    type: "access",
    // Of version 8, as the authority's are until the session's tokens were declared stale.
    jti: randomUUID().replace(/^(.{14})4/, "$18"),
    sid: randomUUID(),
  };
  const signed = `${header}.${encode(claims)}`;
  return `${signed}.${mac(signed).toString("base64url")}`;
}

/** Serves a snapshot of so many revocations, and nothing else. */
async function startRevocations(count: number): Promise<[string, Server]> {
  const expiresAt = timestampFromMs(Date.now() + 3_600_000);
  const encoded = (event: { case: string; value: object }) => {
    const message = create(WatchRevocationsResponseSchema, { cursor: "c", event } as object);
    return toBinary(WatchRevocationsResponseSchema, message);
  };
  const snapshots = Array.from({ length: Math.max(count / 1_000, 1) }, (_, part) => {
    const revocations = Array.from({ length: Math.min(count, 1_000) }, () => ({
      sessionId: randomUUID(),
      expiresAt,
    }));
    return encoded({ case: "snapshot", value: { continued: part > 0, revocations } });
  });
  const server = new Server();
  const serialize = (message: object) => Buffer.from(message as Uint8Array);
  const definition = {
    path: "/token_authority.v1.SessionService/WatchRevocations",
    requestStream: false,
    responseStream: true,
    requestSerialize: serialize,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: serialize,
    responseDeserialize: (bytes: Buffer) => bytes,
  };
  const watch = (call: ServerWritableStream<Buffer, object>) => {
    for (const snapshot of snapshots) call.write(snapshot);
    const asOf = () => timestampFromMs(Date.now());
    const beat = () => call.write(encoded({ case: "heartbeat", value: { asOf: asOf() } }));
    beat();
    const timer = setInterval(beat, 1_000);
    call.on("cancelled", () => clearInterval(timer));
  };
  server.addService({ WatchRevocations: definition }, { WatchRevocations: watch } as never);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (failure, bound) =>
      failure ? reject(failure) : resolve(bound),
    );
  });
  return [`127.0.0.1:${port}`, server];
}

type Verify = (token: string) => unknown;

/** A verifier that knows of so many revocations. */
async function follow(count: number): Promise<[Verifier, Server]> {
  const [address, server] = await startRevocations(count);
  const verifier = createVerifier({ secret: SECRET, authority: { address } });
  while (!verifier.state?.connected || verifier.state.revocations !== count) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return [verifier, server];
}

async function main(): Promise<void> {
  const plain = createVerifier({ secret: SECRET, authority: false });
  const [followingNone, serverOfNone] = await follow(0);
  const [followingMany, serverOfMany] = await follow(REVOKED);
  const fast = createFastJwt({ key: SECRET, algorithms: ["HS256"] });
  const key = new TextEncoder().encode(SECRET);
  const subjects: Record<string, Verify> = {
    jose: (token) => jwtVerify(token, key, { algorithms: ["HS256"] }),
    jsonwebtoken: (token) => jsonwebtoken.verify(token, SECRET, { algorithms: ["HS256"] }),
    "fast-jwt": (token) => fast(token),
    kit: (token) => plain.verify(token),
    "kit, none revoked": (token) => followingNone.verify(token),
    "kit, 100,000 revoked": (token) => followingMany.verify(token),
  };
  const costs = new Map<string, Costs[]>();
  for (let round = 0; round < WARM_UP + ROUNDS; round += 1) {
    for (const [name, verify] of shuffled(Object.entries(subjects))) {
      if (name === SLOW && round % 50 !== 0) continue;
      const cost = await measure(verify);
      const before = costs.get(name) ?? [];
      costs.set(name, before);
      if (round >= WARM_UP) before[round - WARM_UP] = cost;
    }
  }
  for (const verifier of [followingNone, followingMany]) await verifier.close();
  for (const server of [serverOfNone, serverOfMany]) server.forceShutdown();
  report(costs);
}

/** A subject's microseconds a token in one round. */
interface Costs {
  first: number;
  again: number;
}

async function measure(verify: Verify): Promise<Costs> {
  const tokens = Array.from({ length: TOKENS }, mint);
  const first = await time(verify, tokens);
  const again = await time(verify, new Array(TOKENS).fill(tokens[0]));
  return { first, again };
}

async function time(verify: Verify, tokens: readonly string[]): Promise<number> {
  const began = process.hrtime.bigint();
  for (const token of tokens) await verify(token);
  return Number(process.hrtime.bigint() - began) / 1_000 / tokens.length;
}

/** Whoever follows another always would find the heap and the caches that this one leaves. */
function shuffled<T>(all: T[]): T[] {
  const keyed = all.map((one) => ({ one, key: Math.random() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ one }) => one);
}

function median(all: number[]): number {
  const sorted = all.filter((one) => one !== undefined).sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

function report(costs: Map<string, Costs[]>): void {
  const of = (name: string) => costs.get(name) ?? [];
  const half = (name: string) => ({
    first: median(of(name).map((one) => one?.first)),
    again: median(of(name).map((one) => one?.again)),
  });
  const table = Object.fromEntries([...costs.keys()].map((name) => [name, half(name)]));
  const ratio = (name: string, other: string, what: keyof Costs) =>
    median(of(name).map((one, round) => one[what] / (of(other)[round]?.[what] ?? Number.NaN)));
  const fastest = (what: keyof Costs) =>
    ["jose", "jsonwebtoken", "fast-jwt"].reduce((one, other) =>
      (table[other]?.[what] ?? 0) < (table[one]?.[what] ?? 0) ? other : one,
    );
  const [none, many] = ["kit, none revoked", "kit, 100,000 revoked"];
  const bounds: [string, number, number][] = [
    ["again / the fastest library", ratio("kit", fastest("again"), "again"), 0.5],
    ["first / the fastest library", ratio("kit", fastest("first"), "first"), 1.1],
    ["again, 100,000 revoked / none", ratio(many, none, "again"), 1.05],
    ["first, 100,000 revoked / none", ratio(many, none, "first"), 1.05],
  ];
  console.table(table);
  console.table(bounds.map(([what, is, bound]) => ({ what, is: Number(is.toFixed(3)), bound })));
  const isMissed = bounds.some(([, is, bound]) => !(is <= bound));
  if (isMissed && process.argv.includes("--check")) process.exitCode = 1;
}

await main();
