/** The key set: of the real authority, and of one that counts who asks. */

import { generateKeyPairSync, sign } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createVerifier, TokenError, type Verifier } from "../src/server/index.ts";
import { Authority, sleep, until } from "./support/authority.ts";

async function verdict(verifier: Verifier, token: string): Promise<string> {
  return verifier.verify(token).then(
    () => "good",
    (failure: unknown) => {
      if (failure instanceof TokenError) return failure.reason;
      throw failure;
    },
  );
}

describe("a move from HS256 to EdDSA", () => {
  const settings = {
    JWT_SECRET: "a secret for HS256 of more than 32 bytes: 8hT3kVq0",
    AUTHORITY_SECRET: "another one, for the private keys alone: x71LmZe9s",
    KEY_PUBLISH_SECONDS: "3",
  };
  let authority: Authority;
  beforeAll(async () => {
    authority = await Authority.start(settings);
  });
  afterAll(() => authority.stop());

  test("refuses no request", async () => {
    const verifier = createVerifier({
      secret: settings.JWT_SECRET,
      jwksUrl: `${authority.http}/.well-known/jwks.json`,
      authority: { address: authority.grpc },
    });
    const issue = async () => (await authority.tokens.issueTokens({ userId: "a" })).accessToken;
    const algorithmOf = (token: string) =>
      JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).alg;
    try {
      const tokens = [await issue()];
      const check = async () => {
        for (const token of tokens) expect(await verdict(verifier, token)).toBe("good");
      };
      await check();
      authority.run(["keys", "rotate"], { JWT_ALGORITHM: "EdDSA" });
      await check();
      await authority.restart({ JWT_ALGORITHM: "EdDSA" });
      await until("EdDSA", async () => {
        tokens.push(await issue());
        await check();
        return algorithmOf(tokens.at(-1) ?? "") === "EdDSA";
      });
      expect(algorithmOf(tokens[0] ?? "")).toBe("HS256");
      await check();
    } finally {
      await verifier.close();
    }
  });
});

describe("a key set", () => {
  let server: Server;
  let url: string;
  let requests = 0;
  let status = 200;
  let keys: object[] = [];
  const verifiers: Verifier[] = [];
  beforeAll(async () => {
    server = createServer((_, answer) => {
      requests += 1;
      answer.writeHead(status, { "content-type": "application/json" });
      setTimeout(() => answer.end(JSON.stringify({ keys })), 50);
    }).listen(0, "127.0.0.1");
    await new Promise((done) => server.once("listening", done));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
  });
  afterAll(() => void server.close());
  beforeEach(() => {
    [requests, status, keys] = [0, 200, [one.jwk]];
  });
  afterEach(async () => {
    await Promise.all(verifiers.splice(0).map((verifier) => verifier.close()));
  });

  const pair = (kid: string) => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    return { kid, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid } };
  };
  const [one, other] = [pair("one"), pair("other")];
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const mint = ({ kid, privateKey }: typeof one, header: object = {}) => {
    const exp = Math.floor(Date.now() / 1000) + 60;
    const claims = { sub: "alice", exp, type: "access" };
    const signed = `${encode({ alg: "EdDSA", typ: "at+jwt", kid, ...header })}.${encode(claims)}`;
    return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
  };
  const remote = () => {
    const verifier = createVerifier({ jwksUrl: url, authority: false });
    verifiers.push(verifier);
    return verifier;
  };

  test("is fetched once, however many wait for it", async () => {
    const verifier = remote();
    const all = await Promise.all(Array.from({ length: 100 }, () => verdict(verifier, mint(one))));
    expect(new Set(all)).toEqual(new Set(["good"]));
    expect(requests).toBe(1);
  });

  test("is not fetched for invented names", async () => {
    const verifier = remote();
    expect(await verdict(verifier, mint(one))).toBe("good");
    const forged = Array.from({ length: 500 }, (_, number) =>
      mint({ ...other, kid: `k${number}` }),
    );
    for (const token of forged) expect(await verdict(verifier, token)).toBe("unknown-key");
    expect(requests).toBe(1);
  });

  test("is fetched again for a new name, when the cooldown is over", async () => {
    const verifier = remote();
    expect(await verdict(verifier, mint(other))).toBe("unknown-key");
    keys = [one.jwk, other.jwk];
    await sleep(10_500);
    const all = await Promise.all(Array.from({ length: 20 }, () => verdict(verifier, mint(other))));
    expect(new Set(all)).toEqual(new Set(["good"]));
    expect(requests).toBe(2);
  });

  test("that cannot be read says nothing about a token", async () => {
    status = 500;
    const verifier = remote();
    expect(await verdict(verifier, mint(one))).toBe("unavailable");
    expect(await verdict(verifier, mint(one))).toBe("unavailable");
    expect(requests).toBe(1);
    status = 200;
    await until("read", async () => (await verdict(verifier, mint(one))) === "good");
  });

  test("does not let a token choose its algorithm", async () => {
    const verifier = remote();
    for (const alg of ["HS256", "none", "ES256", "Ed25519"]) {
      expect(await verdict(verifier, mint(one, { alg }))).toBe("bad-signature");
    }
  });

  test("may hold keys of other kinds", async () => {
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey;
    keys = [
      { kty: "oct", k: "eHh4", kid: "shared" },
      { kty: "EC", crv: "P-521", kid: "large" },
      { ...weak.export({ format: "jwk" }), kid: "weak" },
      { ...other.jwk, use: "enc" },
      one.jwk,
    ];
    const verifier = remote();
    expect(await verdict(verifier, mint(one))).toBe("good");
    expect(await verdict(verifier, mint(other))).toBe("unknown-key");
  });
});
