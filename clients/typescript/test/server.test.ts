/** The verifier beside the real authority. */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Code, createClient } from "@connectrpc/connect";
import express from "express";
import { Hono } from "hono";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { RolloutService } from "../src/gen/token_authority/v1/rollout_service_pb.ts";
import { SessionService } from "../src/gen/token_authority/v1/session_service_pb.ts";
import { TokenAuthorityService } from "../src/gen/token_authority/v1/token_authority_service_pb.ts";
import {
  createVerifier,
  TokenError,
  type Verifier,
  type VerifierOptions,
} from "../src/server/index.ts";
import { connect } from "../src/transport.ts";
import { Authority, sleep, until } from "./support/authority.ts";

const verifiers: Verifier[] = [];
afterEach(async () => {
  await Promise.all(verifiers.splice(0).map((verifier) => verifier.close()));
});

/** A verifier that is closed after the test. */
function verifierOf(options: VerifierOptions): Verifier {
  const verifier = createVerifier(options);
  verifiers.push(verifier);
  return verifier;
}

/** Why a token is refused, or "good". */
async function verdict(verifier: Verifier, token: string): Promise<string> {
  try {
    await verifier.verify(token);
    return "good";
  } catch (failure) {
    if (failure instanceof TokenError) return failure.reason;
    throw failure;
  }
}

describe("beside one authority", () => {
  let authority: Authority;
  beforeAll(async () => {
    authority = await Authority.start();
  });
  afterAll(() => authority.stop());

  const options = () => ({ secret: authority.secret, authority: { address: authority.grpc } });
  const issue = (more = {}) => authority.tokens.issueTokens({ userId: "alice", ...more });

  test("a good token says whose it is", async () => {
    const asked = { audience: ["api"], scopes: ["read", "write"], claims: { plan: { seats: 3 } } };
    const issued = await issue(asked);
    const identity = await verifierOf({ secret: authority.secret }).verify(issued.accessToken);
    const { expiresAt, ...rest } = identity;
    expect(rest).toEqual({
      userId: "alice",
      sessionId: issued.sessionId,
      method: "jwt",
      ...asked,
    });
    expect(Math.abs(expiresAt.getTime() - Date.now() - 1_800_000)).toBeLessThan(60_000);
    expect(() => Object.assign(identity.claims["plan"] as object, { seats: 9 })).toThrow(TypeError);
  });

  test("the settings come from the environment where none are given", async () => {
    const issued = await issue();
    process.env["JWT_SECRET"] = authority.secret;
    process.env["TOKEN_AUTHORITY_ADDRESS"] = authority.grpc;
    try {
      const verifier = verifierOf({});
      expect((await verifier.verify(issued.accessToken)).userId).toBe("alice");
      expect(verifier.state?.connected).toBe(true);
    } finally {
      delete process.env["JWT_SECRET"];
      delete process.env["TOKEN_AUTHORITY_ADDRESS"];
    }
    expect(() => createVerifier()).toThrow("needs a secret");
  });

  test("the previous secret verifies, another one does not", async () => {
    const { accessToken } = await issue();
    const other = "another secret of more than 32 bytes";
    const moving = verifierOf({ secret: other, previousSecret: authority.secret });
    expect(await verdict(moving, accessToken)).toBe("good");
    expect(await verdict(verifierOf({ secret: other }), accessToken)).toBe("unknown-key");
  });

  test("an audience and an issuer can be asked for", async () => {
    const { secret } = authority;
    const { accessToken } = await issue({ audience: ["api", "mail"] });
    expect(await verdict(verifierOf({ secret, audience: "mail" }), accessToken)).toBe("good");
    const others = verifierOf({ secret, audience: ["shop", "blog"] });
    expect(await verdict(others, accessToken)).toBe("wrong-audience");
    const elsewhere = verifierOf({ secret, issuer: "https://elsewhere" });
    expect(await verdict(elsewhere, accessToken)).toBe("malformed");
  });

  test("a revoked session is refused within a second, by every verifier", async () => {
    const all = [verifierOf(options()), verifierOf(options())];
    const spread: number[] = [];
    for (let round = 0; round < 50; round += 1) {
      const { accessToken, sessionId } = await issue();
      for (const verifier of all) expect(await verdict(verifier, accessToken)).toBe("good");
      await authority.sessions.revokeSession({ sessionId });
      const revokedAt = performance.now();
      await until("refused", async () => {
        const verdicts = await Promise.all(all.map((verifier) => verdict(verifier, accessToken)));
        return verdicts.every((one) => one === "revoked");
      });
      spread.push(performance.now() - revokedAt);
    }
    spread.sort((a, b) => a - b);
    expect(spread[48]).toBeLessThan(1_000);
    expect(all[0]?.state?.revocations).toBeGreaterThanOrEqual(50);
  });

  test("a role taken away is refused within a second, and the session lives", async () => {
    const all = [verifierOf(options()), verifierOf(options())];
    let held = await issue({ claims: { role: "admin" } });
    const other = await issue();
    for (const verifier of all) expect(await verdict(verifier, held.accessToken)).toBe("good");
    const { sessionId } = held;
    for (const role of ["user", "guest"]) {
      const target = { case: "sessionId", value: sessionId } as const;
      await authority.sessions.updateSessions({ target, claims: { role }, refreshNow: true });
      const changedAt = performance.now();
      // The new token is minted in the same second, and is good before and after the news arrives.
      const { refreshToken } = held;
      const renewed = await authority.tokens.refreshAccessToken({ refreshToken });
      for (const verifier of all) expect(await verdict(verifier, renewed.accessToken)).toBe("good");
      const { accessToken } = held;
      await until("stale", async () => {
        const verdicts = await Promise.all(all.map((verifier) => verdict(verifier, accessToken)));
        return verdicts.every((one) => one === "stale");
      });
      expect(performance.now() - changedAt).toBeLessThan(1_000);
      for (const verifier of [...all, verifierOf(options())]) {
        expect((await verifier.verify(renewed.accessToken)).claims).toEqual({ role });
        expect(await verdict(verifier, accessToken)).toBe("stale");
        expect(await verdict(verifier, other.accessToken)).toBe("good");
      }
      held = { ...held, ...renewed, $typeName: held.$typeName };
    }
    await authority.sessions.revokeSession({ sessionId });
    for (const verifier of all) {
      const isOver = async () => (await verdict(verifier, held.accessToken)) === "revoked";
      await until("over", isOver);
    }
  });

  test("a new verifier knows what was revoked before it came", async () => {
    const { accessToken, sessionId } = await issue();
    await authority.sessions.revokeSession({ sessionId });
    expect(await verdict(verifierOf(options()), accessToken)).toBe("revoked");
  });

  test("without keys of its own, a verifier asks about every token", async () => {
    const { accessToken, sessionId } = await issue();
    const verifier = verifierOf({ authority: { address: authority.grpc } });
    expect(await verifier.verify(accessToken)).toMatchObject({ userId: "alice", method: "jwt" });
    await authority.sessions.revokeSession({ sessionId });
    expect(await verdict(verifier, accessToken)).toBe("revoked");
    expect(await verdict(verifier, "")).toBe("malformed");
  });

  describe("over HTTP", () => {
    let server: Server;
    let base: string;
    let broken: Verifier;
    beforeAll(async () => {
      const verifier = createVerifier({ secret: authority.secret });
      // Nobody listens there, and old knowledge is refused: it can never tell.
      broken = createVerifier({
        secret: authority.secret,
        authority: { address: "127.0.0.1:1" },
        maxStaleness: 1,
      });
      const app = express();
      app.get("/me", verifier.express(), (request, response) => {
        response.json(request.identity?.userId);
      });
      app.get("/write", verifier.express({ scopes: ["write"] }), (_, response) => {
        response.json("written");
      });
      app.get("/cut-off", broken.express(), (_, response) => {
        response.json("never");
      });
      const hono = new Hono();
      hono.get("/me", async (context) => {
        try {
          return context.json((await verifier.authenticate(context.req.raw)).userId);
        } catch (failure) {
          if (failure instanceof TokenError) return failure.toResponse();
          throw failure;
        }
      });
      fetchStyle = (request) => hono.fetch(request);
      server = createServer(app).listen(0, "127.0.0.1");
      await new Promise((done) => server.once("listening", done));
      base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    afterAll(async () => {
      server.close();
      await broken.close();
    });
    let fetchStyle: (request: Request) => Response | Promise<Response>;
    const get = (path: string, authorization?: string) =>
      fetch(base + path, { headers: authorization ? { authorization } : {} });

    test("Express is given the identity", async () => {
      const { accessToken } = await issue({ scopes: ["write"] });
      for (const scheme of ["Bearer", "bearer", "BEARER"]) {
        expect(await (await get("/me", `${scheme} ${accessToken}`)).json()).toBe("alice");
      }
      expect(await (await get("/write", `Bearer ${accessToken}`)).json()).toBe("written");
    });

    test("a fetch-style framework is given the identity, or the answer", async () => {
      const { accessToken } = await issue();
      const request = (token: string) =>
        new Request("http://localhost/me", { headers: { authorization: `Bearer ${token}` } });
      expect(await (await fetchStyle(request(accessToken))).json()).toBe("alice");
      const refused = await fetchStyle(request("x"));
      expect(refused.status).toBe(401);
      expect(refused.headers.get("www-authenticate")).toBe('Bearer error="invalid_token"');
      expect(await refused.json()).toEqual({ error: "invalid_token", reason: "malformed" });
    });

    test.each([undefined, "Bearer", "Bearer x", "Basic YTpi", "Bearer a b"])(
      "%s is answered 401",
      async (authorization) => {
        const answer = await get("/me", authorization);
        expect(answer.status).toBe(401);
        expect(answer.headers.get("www-authenticate")).toBe('Bearer error="invalid_token"');
        expect(await answer.json()).toEqual({ error: "invalid_token", reason: "malformed" });
      },
    );

    test("a missing scope is answered 403", async () => {
      const { accessToken } = await issue({ scopes: ["read"] });
      const answer = await get("/write", `Bearer ${accessToken}`);
      expect(answer.status).toBe(403);
      expect(answer.headers.get("www-authenticate")).toBe('Bearer error="insufficient_scope"');
    });

    test("503 says that nobody can tell", async () => {
      const { accessToken } = await issue();
      const answer = await get("/cut-off", `Bearer ${accessToken}`);
      expect(answer.status).toBe(503);
      expect(answer.headers.get("retry-after")).toBe("1");
      expect(answer.headers.get("www-authenticate")).toBeNull();
    });
  });
});

describe("during a roll-out", () => {
  let authority: Authority;
  beforeAll(async () => {
    authority = await Authority.start({ JWT_ROLLOUT_PERCENTAGE: "0" });
  });
  afterAll(() => authority.stop());

  test("session tokens are judged by the authority, many in a call", async () => {
    const verifier = verifierOf({
      secret: authority.secret,
      authority: { address: authority.grpc },
    });
    const users = Array.from({ length: 1_100 }, (_, number) => `user-${number % 20}`);
    const tokens = new Map<string, string>();
    for (const userId of new Set(users)) {
      const issued = await authority.tokens.issueTokens({ userId, scopes: ["read"] });
      expect(issued.accessToken).toMatch(/^tas_/);
      tokens.set(userId, issued.accessToken);
    }
    const identities = await Promise.all(
      users.map((user) => verifier.verify(tokens.get(user) ?? "")),
    );
    expect(identities.map(({ userId }) => userId)).toEqual(users);
    expect(identities[0]).toMatchObject({ method: "session", scopes: ["read"] });

    const forged = Array.from({ length: 1_500 }, (_, number) => `tas_${number}`);
    const refused = await Promise.all(forged.map((token) => verdict(verifier, token)));
    expect(new Set(refused)).toEqual(new Set(["malformed"]));
  });

  test("who has what kind of token makes no difference to a backend", async () => {
    const verifier = verifierOf({
      secret: authority.secret,
      authority: { address: authority.grpc },
    });
    for (const percentage of [0, 10, 100, 0]) {
      await authority.rollout.setRollout({ percentage });
      await sleep(1_000);
      const methods = new Set<string>();
      for (let number = 0; number < 60; number += 1) {
        const userId = `user-${number}`;
        const { accessToken } = await authority.tokens.issueTokens({ userId });
        const identity = await verifier.verify(accessToken);
        expect(identity.userId).toBe(userId);
        methods.add(identity.method);
      }
      const all = { 0: ["session"], 10: ["jwt", "session"], 100: ["jwt"] };
      expect([...methods].sort()).toEqual(all[percentage as keyof typeof all]);
    }
  });

  test("a revoked session token is refused, and nobody can tell without the authority", async () => {
    const address = authority.grpc;
    const verifier = verifierOf({ secret: authority.secret, authority: { address } });
    const { accessToken, sessionId } = await authority.tokens.issueTokens({ userId: "bob" });
    expect(await verdict(verifier, accessToken)).toBe("good");
    await authority.sessions.revokeSession({ sessionId });
    expect(await verdict(verifier, accessToken)).toBe("revoked");
    const alone = verifierOf({ secret: authority.secret });
    expect(await verdict(alone, accessToken)).toBe("malformed");
    await authority.kill();
    expect(await verdict(verifier, accessToken)).toBe("unavailable");
    await authority.restart();
    await until("answered", async () => (await verdict(verifier, accessToken)) === "revoked");
  });
});

describe("over fetch, by gRPC-Web", () => {
  let authority: Authority;
  let key: string;
  beforeAll(async () => {
    authority = await Authority.start();
    const settings = { CALLERS_FILE: "callers.json" };
    const roles = ["issuer", "verifier", "sessions"];
    key = authority.run(["callers", "add", "caller", "--role", ...roles], settings).trim();
    await authority.restart(settings);
  });
  afterAll(() => authority.stop());

  const where = (apiKey?: string) => ({ address: authority.grpc, apiKey, fetch: true });
  const tokensOf = (apiKey?: string) =>
    createClient(TokenAuthorityService, connect(where(apiKey)).transport);

  test("tokens are judged, and a logout arrives", async () => {
    const { accessToken } = await tokensOf(key).issueTokens({ userId: "alice" });
    const local = verifierOf({ secret: authority.secret, authority: where(key) });
    const remote = verifierOf({ authority: where(key) });
    for (const verifier of [local, remote]) {
      expect((await verifier.verify(accessToken)).userId).toBe("alice");
      expect(await verdict(verifier, "x".repeat(32))).toBe("malformed");
    }
    const sessions = createClient(SessionService, connect(where(key)).transport);
    await sessions.revokeUserSessions({ userId: "alice" });
    for (const verifier of [local, remote]) {
      await until("revoked", async () => (await verdict(verifier, accessToken)) === "revoked");
      expect(verifier.state?.connected).toBe(true);
    }
  });

  test("whoever has no key, or not the role, is told so", async () => {
    const { accessToken } = await tokensOf(key).issueTokens({ userId: "bob" });
    for (const apiKey of [undefined, "tak_wrong"]) {
      const asked = tokensOf(apiKey).validateToken({ token: accessToken });
      await expect(asked).rejects.toMatchObject({ code: Code.Unauthenticated });
      const verifier = verifierOf({ secret: authority.secret, authority: where(apiKey) });
      expect(await verdict(verifier, accessToken)).toBe("unavailable");
    }
    const refused = createClient(RolloutService, connect(where(key)).transport).setRollout({});
    await expect(refused).rejects.toMatchObject({ code: Code.PermissionDenied });
  });

  test("its certificates are the platform's", () => {
    expect(() => connect({ ...where(key), tls: { ca: "a certificate" } })).toThrow(TypeError);
  });
});

describe("when the authority fails", () => {
  let authority: Authority;
  beforeAll(async () => {
    authority = await Authority.start();
  });
  afterAll(() => authority.stop());

  test.each(["killed", "hung"] as const)("%s: go on with what is known, or refuse", async (how) => {
    const common = { secret: authority.secret, authority: { address: authority.grpc } };
    const patient = verifierOf(common);
    const strict = verifierOf({ ...common, maxStaleness: 2 });
    const { tokens, sessions } = authority;
    const [known, good] = [
      await tokens.issueTokens({ userId: "a" }),
      await tokens.issueTokens({ userId: "b" }),
    ];
    await sessions.revokeSession({ sessionId: known.sessionId });
    for (const verifier of [patient, strict]) {
      await until("known", async () => (await verdict(verifier, known.accessToken)) === "revoked");
      expect(await verdict(verifier, good.accessToken)).toBe("good");
    }
    if (how === "killed") await authority.kill();
    else authority.hang();
    await until("stale", async () => (await verdict(strict, good.accessToken)) === "unavailable");
    expect(await verdict(patient, good.accessToken)).toBe("good");
    for (const verifier of [patient, strict]) {
      // The map is kept, whatever becomes of the stream.
      expect(await verdict(verifier, known.accessToken)).toBe("revoked");
    }
    await until("noticed", () => patient.state?.connected === false);
    const before = patient.state?.freshAsOf?.getTime() ?? 0;
    if (how === "killed") await authority.restart();
    else authority.resume();
    await until("back", async () => (await verdict(strict, good.accessToken)) === "good");
    expect(await verdict(strict, known.accessToken)).toBe("revoked");
    await until("fresh", () => (patient.state?.freshAsOf?.getTime() ?? 0) > before);
    expect(patient.state?.connected).toBe(true);
  });

  test("nothing is accepted before revocations were read, with a bound and without", async () => {
    const { accessToken } = await authority.tokens.issueTokens({ userId: "a" });
    const common = { secret: authority.secret, authority: { address: authority.grpc } };
    await authority.kill();
    const verifiers = [verifierOf(common), verifierOf({ ...common, maxStaleness: 5 })];
    const invalid = `${accessToken.slice(0, -2)}AA`;
    for (const verifier of verifiers) {
      expect(await verdict(verifier, accessToken)).toBe("unavailable");
      // A token that is refused anyway does not wait.
      expect(await verdict(verifier, invalid)).toBe("bad-signature");
      expect(verifier.state).toEqual({ connected: false, freshAsOf: undefined, revocations: 0 });
    }
    await authority.restart();
    for (const verifier of verifiers) {
      await until("heard", async () => (await verdict(verifier, accessToken)) === "good");
    }
  });

  test("a token waits for the first heartbeat, and not for ever", async () => {
    const { accessToken } = await authority.tokens.issueTokens({ userId: "a" });
    const common = { secret: authority.secret, authority: { address: authority.grpc } };
    authority.hang();
    try {
      const verifier = verifierOf(common);
      const waiting = verdict(verifier, accessToken);
      expect(await Promise.race([waiting, sleep(500).then(() => "waits")])).toBe("waits");
      expect(await waiting).toBe("unavailable");
    } finally {
      authority.resume();
    }
  });
});
