/** The plugin in a real Better Auth, beside the real authority: for each event, who is in and who is not. */

import { createHash } from "node:crypto";
import { passkey } from "@better-auth/passkey";
import { type BetterAuthOptions, betterAuth } from "better-auth";
import { createAuthClient } from "better-auth/client";
import { getMigrations } from "better-auth/db/migration";
import {
  admin,
  emailOTP,
  genericOAuth,
  magicLink,
  multiSession,
  twoFactor,
} from "better-auth/plugins";
import { type SqliteDatabase, SqliteDialect } from "kysely";
import Database from "libsql";
import { TOTP } from "otpauth";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { tokenAuthorityClient } from "../src/better-auth/client.ts";
import { type TokenAuthorityOptions, tokenAuthority } from "../src/better-auth/index.ts";
import { Authority, until } from "./support/authority.ts";
import { CLIENT, startProvider } from "./support/openid.ts";
import { Authenticator } from "./support/passkeys.ts";
import { startPostgres } from "./support/postgres.ts";
import { ORIGIN, Visitor } from "./support/visitor.ts";

const digest = (password: string) => createHash("sha256").update(password).digest("hex");
const IN = { session: true, access: true, refresh: true };
const OUT = { session: false, access: false, refresh: false };
const PASSWORD = "a password of the test";

let authority: Authority;
let openId: Awaited<ReturnType<typeof startProvider>>;
beforeAll(async () => {
  authority = await Authority.start();
  openId = await startProvider(`${ORIGIN}/api/auth/callback/local`);
});
afterAll(async () => {
  openId?.stop();
  await authority?.stop();
});

/** What a product's auth-server sends to its users. */
const mail = new Map<string, string>();

/** An auth-server. */
async function serverOf(
  database: BetterAuthOptions["database"],
  kit: Partial<TokenAuthorityOptions> = {},
  more: BetterAuthOptions = {},
  before: NonNullable<BetterAuthOptions["plugins"]> = [],
) {
  const options = {
    baseURL: ORIGIN,
    secret: "better-auth-Zx3LqW8nB1vK6yTe0RmUo5JpGh7d",
    database,
    emailAndPassword: {
      enabled: true,
      // scrypt would take most of the test's time.
      password: {
        hash: async (password: string) => digest(password),
        verify: async ({ hash, password }: { hash: string; password: string }) =>
          hash === digest(password),
      },
      sendResetPassword: async ({ user, token }: { user: { email: string }; token: string }) => {
        mail.set(user.email, token);
      },
      ...more.emailAndPassword,
    },
    user: { deleteUser: { enabled: true } },
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { level: "error", log: () => {} },
    ...(more.session ? { session: more.session } : {}),
    ...(more.secondaryStorage ? { secondaryStorage: more.secondaryStorage } : {}),
    plugins: [
      ...before,
      twoFactor(),
      passkey({ rpID: new URL(ORIGIN).hostname, origin: ORIGIN }),
      admin(),
      magicLink({
        sendMagicLink: async ({ email, url }) => {
          mail.set(email, url);
        },
      }),
      emailOTP({
        sendVerificationOTP: async ({ email, otp }) => {
          mail.set(email, otp);
        },
      }),
      genericOAuth({
        config: [
          {
            providerId: "local",
            ...CLIENT,
            discoveryUrl: `${openId.issuer}/.well-known/openid-configuration`,
            scopes: ["openid", "email", "profile"],
          },
        ],
      }),
      tokenAuthority({ address: authority.grpc, ...kit }),
    ],
  } satisfies BetterAuthOptions;
  const { runMigrations } = await getMigrations(options);
  await runMigrations();
  return betterAuth(options);
}

let people = 0;
function newEmail(): string {
  people += 1;
  return `user-${people}@example.com`;
}

type Server = Awaited<ReturnType<typeof serverOf>>;

/** Someone who has just signed up, and whose page has renewed. */
async function signedUp(auth: Server, email = newEmail()) {
  const visitor = new Visitor(auth, authority);
  const { status, body } = await visitor.post("/sign-up/email", {
    email,
    password: PASSWORD,
    name: "A",
  });
  expect(status).toBe(200);
  expect(await visitor.refresh()).toBe(true);
  return { visitor, email, userId: body.user.id as string };
}

/** The same person in another browser. */
async function signedIn(auth: Server, email: string, password = PASSWORD) {
  const visitor = new Visitor(auth, authority);
  expect((await visitor.post("/sign-in/email", { email, password })).status).toBe(200);
  expect(await visitor.refresh()).toBe(true);
  return visitor;
}

const sessionsOf = async (userId: string) =>
  (await authority.sessions.listSessions({ userId })).sessions;

async function promote(auth: Server, userId: string) {
  const context = await auth.$context;
  await context.internalAdapter.updateUser(userId, { role: "admin" });
}

describe.each(["sqlite", "postgres"] as const)("on %s", (kind) => {
  let postgres: Awaited<ReturnType<typeof startPostgres>> | undefined;
  let pool: pg.Pool | undefined;
  let database: BetterAuthOptions["database"];
  let auth: Server;
  beforeAll(async () => {
    if (kind === "postgres") {
      postgres = await startPostgres();
      pool = new pg.Pool({ connectionString: postgres.url, max: 8 });
      database = pool;
    } else {
      // It has the interface of better-sqlite3, whose own program has to be compiled.
      const file = new Database(":memory:") as unknown as SqliteDatabase;
      const dialect = new SqliteDialect({ database: file });
      database = { dialect, type: "sqlite", transaction: true };
    }
    auth = await serverOf(database, {
      scopes: (user) => [user["role"] === "admin" ? "administer" : "use"],
      claims: async (user) => ({ email: user.email }),
    });
  });
  afterAll(async () => {
    await pool?.end();
    await postgres?.stop();
  });

  describe("who signs in is in", () => {
    test("by signing up", async () => {
      const { visitor, email, userId } = await signedUp(auth);
      expect(await visitor.isIn()).toEqual(IN);
      expect(visitor.claims).toMatchObject({ sub: userId, scope: "use", email });
      const [session] = await sessionsOf(userId);
      expect(session?.client?.userAgent).toBe("a browser");
    });

    test("by a password, whose session takes the place of the one before", async () => {
      const { visitor, email, userId } = await signedUp(auth);
      const { accessToken } = visitor;
      const answer = await visitor.post("/sign-in/email", { email, password: PASSWORD });
      const cookie = answer.setCookies.find((line) => line.startsWith("refreshToken="));
      expect(cookie).toMatch(
        /^refreshToken=[\w.-]+; Max-Age=604800; Path=\/api\/auth; HttpOnly; SameSite=Lax$/,
      );
      const { active } = await authority.tokens.validateToken({ token: accessToken });
      expect(active).toBe(false);
      expect(await visitor.refresh()).toBe(true);
      expect(await visitor.isIn()).toEqual(IN);
      expect(await sessionsOf(userId)).toHaveLength(1);
    });

    test("until the browser ends, if they do not want to be remembered", async () => {
      const { email } = await signedUp(auth);
      const visitor = new Visitor(auth, authority);
      const ask = { email, password: PASSWORD, rememberMe: false };
      const { setCookies } = await visitor.post("/sign-in/email", ask);
      const isToken = (line: string) => line.startsWith("refreshToken=");
      expect(setCookies.find(isToken)).not.toMatch(/max-age/i);
      expect(await visitor.refresh()).toBe(true);
      expect(visitor.renewed.find(isToken)).toBeDefined();
      expect(visitor.renewed.find(isToken)).not.toMatch(/max-age/i);
    });

    test("by a magic link", async () => {
      const email = newEmail();
      const visitor = new Visitor(auth, authority);
      await visitor.post("/sign-in/magic-link", { email, name: "M", callbackURL: "/" });
      expect(visitor.jar.size).toBe(0);
      expect((await visitor.get(mail.get(email) ?? "")).status).toBe(302);
      expect(await visitor.refresh()).toBe(true);
      expect(await visitor.isIn()).toEqual(IN);
    });

    test("by a code", async () => {
      const email = newEmail();
      const visitor = new Visitor(auth, authority);
      await visitor.post("/email-otp/send-verification-otp", { email, type: "sign-in" });
      expect(visitor.jar.size).toBe(0);
      await visitor.post("/sign-in/email-otp", { email, otp: mail.get(email) });
      expect(await visitor.refresh()).toBe(true);
      expect(await visitor.isIn()).toEqual(IN);
    });

    test("by a passkey, and nobody before it is shown", async () => {
      const { visitor, userId } = await signedUp(auth);
      const authenticator = await Authenticator.start(ORIGIN);
      try {
        const created = await authenticator.create(
          (await visitor.get("/passkey/generate-register-options")).body,
        );
        const registered = await visitor.post("/passkey/verify-registration", {
          response: created,
        });
        expect(registered.status).toBe(200);
        const before = await sessionsOf(userId);
        expect(before).toHaveLength(1);

        const [other, thief] = [new Visitor(auth, authority), new Visitor(auth, authority)];
        const ask = async (who: Visitor) =>
          (await who.get("/passkey/generate-authenticate-options")).body;
        const assertion = await authenticator.get(await ask(other));
        await ask(thief);
        // Another browser's assertion is worth nothing, nor is one that was tampered with.
        const stolen = await thief.post("/passkey/verify-authentication", { response: assertion });
        const forged = structuredClone(assertion) as { response: { signature: string } };
        forged.response.signature = forged.response.signature.replace(/.{8}$/, "AAAAAAAA");
        await ask(thief);
        const tampered = await thief.post("/passkey/verify-authentication", { response: forged });
        for (const answer of [stolen, tampered]) {
          expect(answer.status).toBeGreaterThanOrEqual(400);
          expect(answer.setCookies.filter((line) => /refreshToken=[^;]/.test(line))).toEqual([]);
        }
        expect([await thief.isIn(), await other.isIn()]).toEqual([OUT, OUT]);
        expect(await sessionsOf(userId)).toEqual(before);

        const shown = await other.post("/passkey/verify-authentication", { response: assertion });
        expect(shown.status).toBe(200);
        expect(await other.refresh()).toBe(true);
        expect(other.claims).toMatchObject({ sub: userId });
        expect(await other.isIn()).toEqual(IN);
        expect(await sessionsOf(userId)).toHaveLength(2);
        // The assertion was for that login alone.
        const again = await thief.post("/passkey/verify-authentication", { response: assertion });
        expect(again.status).toBeGreaterThanOrEqual(400);
        expect(await thief.isIn()).toEqual(OUT);
      } finally {
        await authenticator.stop();
      }
    });

    test("by an OpenID provider", async () => {
      const visitor = new Visitor(auth, authority);
      const ask = { provider: "local", callbackURL: "/" };
      const { body } = await visitor.post("/sign-in/social", ask);
      expect(visitor.jar.has("refreshToken")).toBe(false);
      const back = await openId.signIn(newEmail(), body.url);
      expect((await visitor.get(back)).status).toBe(302);
      expect(await visitor.refresh()).toBe(true);
      expect(await visitor.isIn()).toEqual(IN);
    });
  });

  describe("with a second factor", () => {
    const codeOf = (uri: string) => {
      const secret = new URL(uri).searchParams.get("secret") ?? "";
      return new TOTP({ secret }).generate();
    };

    /** Someone with an authenticator, in a browser that has only shown the password. */
    async function halfWay() {
      const { visitor, email, userId } = await signedUp(auth);
      const { body } = await visitor.post("/two-factor/enable", { password: PASSWORD });
      const code = () => codeOf(body.totpURI);
      expect((await visitor.post("/two-factor/verify-totp", { code: code() })).status).toBe(200);
      // Better Auth changed the session for that.
      expect(await visitor.refresh()).toBe(true);
      expect(await visitor.isIn()).toEqual(IN);
      const before = await sessionsOf(userId);
      expect(before).toHaveLength(1);
      const other = new Visitor(auth, authority);
      const answer = await other.post("/sign-in/email", { email, password: PASSWORD });
      expect(answer.body.twoFactorRedirect).toBe(true);
      // No cookie that is worth anything, and no session at the authority, not even for a moment.
      expect(answer.setCookies.filter((line) => /refreshToken=[^;]/.test(line))).toEqual([]);
      expect(await other.isIn()).toEqual(OUT);
      expect(await sessionsOf(userId)).toEqual(before);
      return { other, code, backupCodes: body.backupCodes as string[], userId };
    }

    test("nobody is in before the authenticator's code", async () => {
      const { other, code, userId } = await halfWay();
      await other.post("/two-factor/verify-totp", { code: "000000" });
      expect(await other.isIn()).toEqual(OUT);
      expect((await other.post("/two-factor/verify-totp", { code: code() })).status).toBe(200);
      expect(await other.refresh()).toBe(true);
      expect(await other.isIn()).toEqual(IN);
      expect(await sessionsOf(userId)).toHaveLength(2);
    });

    test("nobody is in before a backup code", async () => {
      const { other, backupCodes } = await halfWay();
      await other.post("/two-factor/verify-backup-code", { code: backupCodes[0] });
      expect(await other.refresh()).toBe(true);
      expect(await other.isIn()).toEqual(IN);
    });

    test("the plugin has to come after it", async () => {
      const wrong = betterAuth({
        plugins: [tokenAuthority({ address: authority.grpc }), twoFactor()],
        logger: { disabled: true },
      });
      await expect(wrong.$context).rejects.toThrow("must come after twoFactor()");
    });
  });

  describe("who is out is out everywhere", () => {
    test("after signing out", async () => {
      const { visitor, email, userId } = await signedUp(auth);
      const other = await signedIn(auth, email);
      const { accessToken } = visitor;
      expect((await visitor.post("/sign-out")).status).toBe(200);
      expect(visitor.jar.has("refreshToken")).toBe(false);
      visitor.accessToken = accessToken;
      expect(await visitor.isIn()).toEqual(OUT);
      expect(await other.isIn()).toEqual(IN);
      expect(await sessionsOf(userId)).toHaveLength(1);
    });

    test("after one session, or all others, were revoked", async () => {
      const { visitor, email } = await signedUp(auth);
      const others = [
        await signedIn(auth, email),
        await signedIn(auth, email),
        await signedIn(auth, email),
      ];
      const [first, second, third] = others as [Visitor, Visitor, Visitor];
      const token = (await first.get("/get-session")).body.session.token;
      await visitor.post("/revoke-session", { token });
      expect(await first.isIn()).toEqual(OUT);
      expect([await second.isIn(), await third.isIn()]).toEqual([IN, IN]);
      await visitor.post("/revoke-other-sessions");
      expect([await second.isIn(), await third.isIn()]).toEqual([OUT, OUT]);
      expect(await visitor.isIn()).toEqual(IN);
    });

    test("after a ban, and cannot come back", async () => {
      const boss = await signedUp(auth);
      await promote(auth, boss.userId);
      const { visitor, email, userId } = await signedUp(auth);
      const other = await signedIn(auth, email);
      expect((await boss.visitor.post("/admin/ban-user", { userId })).status).toBe(200);
      expect([await visitor.isIn(), await other.isIn()]).toEqual([OUT, OUT]);
      expect(await boss.visitor.isIn()).toEqual(IN);
      const again = new Visitor(auth, authority);
      expect((await again.post("/sign-in/email", { email, password: PASSWORD })).status).toBe(403);
      expect(again.jar.has("refreshToken")).toBe(false);
      expect(await sessionsOf(userId)).toEqual([]);
    });

    test("after their user was deleted, or removed", async () => {
      const one = await signedUp(auth);
      const elsewhere = await signedIn(auth, one.email);
      const deleted = await one.visitor.post("/delete-user", { password: PASSWORD });
      expect(deleted.status).toBe(200);
      expect([await one.visitor.isIn(), await elsewhere.isIn()]).toEqual([OUT, OUT]);
      const boss = await signedUp(auth);
      await promote(auth, boss.userId);
      const other = await signedUp(auth);
      await boss.visitor.post("/admin/remove-user", { userId: other.userId });
      expect(await other.visitor.isIn()).toEqual(OUT);
    });
  });

  describe("after a new password", () => {
    const change = { currentPassword: PASSWORD, newPassword: "another password" };

    test("by a change, the others stay unless they are revoked", async () => {
      const { visitor, email } = await signedUp(auth);
      const other = await signedIn(auth, email);
      await visitor.post("/change-password", change);
      expect([await visitor.isIn(), await other.isIn()]).toEqual([IN, IN]);
      const back = { currentPassword: "another password", newPassword: PASSWORD };
      await visitor.post("/change-password", { ...back, revokeOtherSessions: true });
      expect(await other.isIn()).toEqual(OUT);
      // The one that asked was given another session.
      expect(await visitor.refresh()).toBe(true);
      expect(await visitor.isIn()).toEqual(IN);
    });

    test.each([false, true])("by a reset, where sessions are revoked: %s", async (revoke) => {
      const emailAndPassword = { enabled: true, revokeSessionsOnPasswordReset: revoke };
      const server = await serverOf(database, {}, { emailAndPassword });
      const { visitor, email } = await signedUp(server);
      const stranger = new Visitor(server, authority);
      await stranger.post("/request-password-reset", { email, redirectTo: "/reset" });
      const reset = { newPassword: "another password", token: mail.get(email) };
      expect((await stranger.post("/reset-password", reset)).status).toBe(200);
      expect(await visitor.isIn()).toEqual(revoke ? OUT : IN);
      expect(await stranger.isIn()).toEqual(OUT);
      expect(await (await signedIn(server, email, "another password")).isIn()).toEqual(IN);
    });
  });

  test("impersonation is told by the token, and ends with it", async () => {
    const boss = await signedUp(auth);
    await promote(auth, boss.userId);
    const { visitor, userId } = await signedUp(auth);
    await boss.visitor.post("/admin/impersonate-user", { userId });
    expect(await boss.visitor.refresh()).toBe(true);
    expect(boss.visitor.claims).toMatchObject({ sub: userId, impersonated_by: boss.userId });
    expect(await sessionsOf(boss.userId)).toEqual([]);
    const impersonated = boss.visitor.accessToken;
    await boss.visitor.post("/admin/stop-impersonating");
    const { active } = await authority.tokens.validateToken({ token: impersonated });
    expect(active).toBe(false);
    expect(await boss.visitor.refresh()).toBe(true);
    expect(boss.visitor.claims).toMatchObject({ sub: boss.userId });
    expect(await boss.visitor.isIn()).toEqual(IN);
    expect(await visitor.isIn()).toEqual(IN);
  });

  test("several accounts in one browser: the tokens are those of the active one", async () => {
    const server = await serverOf(database, {}, {}, [multiSession()]);
    const [one, other] = [await signedUp(server), await signedUp(server)];
    const { visitor } = one;
    await visitor.post("/sign-in/email", { email: other.email, password: PASSWORD });
    expect(await visitor.refresh()).toBe(true);
    expect(visitor.claims["sub"]).toBe(other.userId);
    const { body } = await visitor.get("/multi-session/list-device-sessions");
    const first = body.find((item: { user: { id: string } }) => item.user.id === one.userId);
    await visitor.post("/multi-session/set-active", { sessionToken: first.session.token });
    expect(await visitor.refresh()).toBe(true);
    expect(visitor.claims["sub"]).toBe(one.userId);
    expect(await visitor.isIn()).toEqual(IN);
    await visitor.post("/sign-out");
    expect(await visitor.isIn()).toEqual(OUT);
    expect(await sessionsOf(one.userId)).toEqual([]);
    // The other account's own browser is still in.
    expect(await other.visitor.isIn()).toEqual(IN);
    expect(await sessionsOf(other.userId)).toHaveLength(1);
  });

  test("what is no login changes nothing", async () => {
    const { visitor, userId } = await signedUp(auth);
    const before = [visitor.jar.get("refreshToken"), await sessionsOf(userId)];
    await visitor.post("/update-user", { name: "B" });
    await visitor.get("/get-session");
    await visitor.post("/sign-in/email", { email: "nobody@example.com", password: "wrong" });
    expect([visitor.jar.get("refreshToken"), await sessionsOf(userId)]).toEqual(before);
  });

  describe.each([
    ["alone", {}],
    ["and the database", { storeSessionInDatabase: true }],
    [
      "and the database, which keeps ended ones",
      { storeSessionInDatabase: true, preserveSessionInDatabase: true },
    ],
  ])("sessions in a secondary storage %s", (_, session) => {
    let server: Server;
    beforeAll(async () => {
      const stored = new Map<string, string>();
      const secondaryStorage = {
        get: async (key: string) => stored.get(key) ?? null,
        set: async (key: string, value: string) => void stored.set(key, value),
        delete: async (key: string) => void stored.delete(key),
        getAndDelete: async (key: string) => {
          const value = stored.get(key) ?? null;
          stored.delete(key);
          return value;
        },
        increment: async (key: string) => {
          const count = Number(stored.get(key) ?? 0) + 1;
          stored.set(key, String(count));
          return count;
        },
      };
      server = await serverOf(database, {}, { secondaryStorage, session });
    });

    test("end everywhere", async () => {
      const { visitor, email, userId } = await signedUp(server);
      const [second, third] = [await signedIn(server, email), await signedIn(server, email)];
      const { accessToken } = second;
      await second.post("/sign-out");
      second.accessToken = accessToken;
      expect(await second.isIn()).toEqual(OUT);
      const change = { currentPassword: PASSWORD, newPassword: "another password" };
      await visitor.post("/change-password", { ...change, revokeOtherSessions: true });
      expect(await third.isIn()).toEqual(OUT);
      expect(await visitor.refresh()).toBe(true);
      expect(await visitor.isIn()).toEqual(IN);
      const boss = await signedUp(server);
      await promote(server, boss.userId);
      // Better Auth keeps the user with the session there.
      const chief = await signedIn(server, boss.email);
      await chief.post("/admin/ban-user", { userId });
      expect(await visitor.isIn()).toEqual(OUT);
    });
  });

  test("the cookie cache keeps a revoked session's page, but gives it no tokens", async () => {
    const server = await serverOf(
      database,
      {},
      { session: { cookieCache: { enabled: true, maxAge: 300 } } },
    );
    const { visitor, email } = await signedUp(server);
    const other = await signedIn(server, email);
    await other.post("/revoke-other-sessions");
    expect(await visitor.isIn()).toEqual(OUT);
    expect((await visitor.post("/token-authority/exchange")).status).toBe(401);
    expect(visitor.jar.has("refreshToken")).toBe(false);
  });

  describe("sessions without tokens", () => {
    test("are given some, once", async () => {
      let isEnabled = false;
      const server = await serverOf(database, { enabled: () => isEnabled });
      const email = newEmail();
      const visitor = new Visitor(server, authority);
      const { body } = await visitor.post("/sign-up/email", {
        email,
        password: PASSWORD,
        name: "A",
      });
      expect(await visitor.isIn()).toEqual({ session: true, access: false, refresh: false });
      expect((await visitor.post("/token-authority/exchange")).status).toBe(403);
      isEnabled = true;
      // Two tabs, and a retry.
      const answers = await Promise.all(
        [1, 2].map(() => visitor.post("/token-authority/exchange")),
      );
      answers.push(await visitor.post("/token-authority/exchange"));
      for (const { status, body: given } of answers) {
        expect(status).toBe(200);
        expect(given.userId).toBe(body.user.id);
        expect(given.expiresIn).toBeGreaterThan(1_700);
        expect(given.accessToken).toMatch(/^eyJ/);
      }
      expect(await sessionsOf(body.user.id)).toHaveLength(1);
      expect(await visitor.refresh()).toBe(true);
      expect(await visitor.isIn()).toEqual(IN);
      await visitor.post("/sign-out");
      expect(await sessionsOf(body.user.id)).toEqual([]);
      expect((await visitor.post("/token-authority/exchange")).status).toBe(401);
    });

    test("are given some for as long as the login asked", async () => {
      let isEnabled = false;
      const server = await serverOf(database, { enabled: () => isEnabled });
      const email = newEmail();
      await new Visitor(server, authority).post("/sign-up/email", {
        email,
        password: PASSWORD,
        name: "A",
      });
      for (const rememberMe of [false, true]) {
        isEnabled = false;
        const visitor = new Visitor(server, authority);
        await visitor.post("/sign-in/email", { email, password: PASSWORD, rememberMe });
        isEnabled = true;
        const { status, setCookies } = await visitor.post("/token-authority/exchange");
        expect(status).toBe(200);
        const cookie = setCookies.find((line) => line.startsWith("refreshToken=")) ?? "";
        expect(/max-age/i.test(cookie)).toBe(rememberMe);
        expect(await visitor.refresh()).toBe(true);
        const renewed = visitor.renewed.filter((line) => line.startsWith("refreshToken="));
        for (const line of renewed) expect(/max-age/i.test(line)).toBe(rememberMe);
      }
    });

    test("the client exchanges, and tells the page's session of a logout", async () => {
      let isEnabled = false;
      const server = await serverOf(database, { enabled: () => isEnabled });
      const visitor = new Visitor(server, authority);
      await visitor.post("/sign-up/email", { email: newEmail(), password: PASSWORD, name: "A" });
      isEnabled = true;
      let ended = 0;
      const session = {
        signOut: async () => {
          ended += 1;
        },
      };
      const client = createAuthClient({
        baseURL: ORIGIN,
        plugins: [tokenAuthorityClient({ session })],
        fetchOptions: { customFetchImpl: (url, init) => visitor.fetch(url, init) },
      });
      const { data, error } = await client.tokenAuthority.exchange();
      expect(error).toBeNull();
      expect(data?.accessToken).toMatch(/^eyJ/);
      expect([await visitor.refresh(), ended]).toEqual([true, 0]);
      await client.signOut();
      expect([await visitor.refresh(), ended]).toEqual([false, 1]);
    });

    test("are given none if the authority has ended theirs", async () => {
      const { visitor, userId } = await signedUp(auth);
      await authority.sessions.revokeUserSessions({ userId });
      expect(await visitor.refresh()).toBe(false);
      const { status, body } = await visitor.post("/token-authority/exchange");
      expect([status, body.code]).toEqual([401, "TOKENS_ALREADY_ISSUED"]);
      expect(await visitor.isIn()).toEqual({ session: true, access: false, refresh: false });
      expect(await sessionsOf(userId)).toEqual([]);
    });

    test("who is given none loses the tokens of whoever was there before", async () => {
      const server = await serverOf(database, { enabled: ({ name }) => name !== "without" });
      const { visitor, userId } = await signedUp(server);
      const { accessToken } = visitor;
      const ask = { email: newEmail(), password: PASSWORD, name: "without" };
      await visitor.post("/sign-up/email", ask);
      visitor.accessToken = accessToken;
      expect(await visitor.isIn()).toEqual({ session: true, access: false, refresh: false });
      expect(await sessionsOf(userId)).toEqual([]);
    });
  });

  describe("while the authority is down", () => {
    /** Its own, so that others go on. */
    let own: Authority;
    beforeAll(async () => {
      own = await Authority.start();
    });
    afterAll(() => own.stop());
    beforeEach(async () => {
      if (!own.isRunning) await own.restart();
    });
    const person = async (server: Server) => {
      const visitor = new Visitor(server, own);
      const email = newEmail();
      const answer = await visitor.post("/sign-up/email", { email, password: PASSWORD, name: "A" });
      return { visitor, email, answer };
    };

    test("nobody signs in, and nothing stays behind", async () => {
      const server = await serverOf(database, { address: own.grpc }, {}, [multiSession()]);
      const { visitor, email } = await person(server);
      expect(await visitor.refresh()).toBe(true);
      const second = new Visitor(server, own);
      await own.kill();
      const answer = await second.post("/sign-in/email", { email, password: PASSWORD });
      expect([answer.status, answer.body.code]).toEqual([503, "TOKEN_AUTHORITY_UNAVAILABLE"]);
      expect(answer.retryAfter).toBe("1");
      expect([...second.jar.keys()]).toEqual([]);
      // Not even for someone who reads the answer itself.
      const worthy = answer.setCookies.filter((line) => !/^[^=]+=;/.test(line));
      expect(worthy).toEqual([]);
      const context = await server.$context;
      const user = await context.internalAdapter.findUserByEmail(email);
      const sessions = await context.internalAdapter.listSessions(user?.user.id ?? "");
      expect(sessions).toHaveLength(1);
      expect(await visitor.isSignedIn()).toBe(true);
      await own.restart();
      expect(await visitor.refresh()).toBe(true);
      await second.post("/sign-in/email", { email, password: PASSWORD });
      expect(await second.refresh()).toBe(true);
    });

    test("who signed up has an account, and signs in later", async () => {
      const server = await serverOf(database, { address: own.grpc });
      await own.kill();
      const { visitor, email, answer } = await person(server);
      expect([answer.status, answer.retryAfter]).toEqual([503, "1"]);
      expect([...visitor.jar.keys()]).toEqual([]);
      await own.restart();
      const again = { email, password: PASSWORD, name: "A" };
      expect((await visitor.post("/sign-up/email", again)).status).toBe(422);
      expect((await visitor.post("/sign-in/email", again)).status).toBe(200);
      expect(await visitor.refresh()).toBe(true);
    });

    test("a login may go on as a plain session, and is given tokens later", async () => {
      const server = await serverOf(database, { address: own.grpc, onUnavailable: "continue" });
      const { visitor: before } = await person(server);
      expect(await before.refresh()).toBe(true);
      await own.kill();
      // In the browser of someone else, whose tokens it must not keep.
      const email = newEmail();
      const answer = await before.post("/sign-up/email", { email, password: PASSWORD, name: "B" });
      expect(answer.status).toBe(200);
      expect(before.jar.has("refreshToken")).toBe(false);
      expect(await before.isSignedIn()).toBe(true);
      expect((await before.post("/token-authority/exchange")).status).toBe(503);
      await own.restart();
      await until(
        "given",
        async () => (await before.post("/token-authority/exchange")).status === 200,
      );
      expect(await before.refresh()).toBe(true);
      expect(before.claims["sub"]).toBe(answer.body.user.id);
      expect(await before.isIn()).toEqual(IN);
    });

    test.each(["this process", "the next one"])(
      "who signs out is out as soon as %s reaches it",
      async (which) => {
        const server = await serverOf(database, { address: own.grpc });
        const [one, other] = [await person(server), await person(server)];
        expect([await one.visitor.refresh(), await other.visitor.refresh()]).toEqual([true, true]);
        const tokens = [one.visitor.accessToken, other.visitor.accessToken];
        const copies = [one, other].map(({ visitor }) => visitor.jar.get("refreshToken") ?? "");
        await own.kill();
        for (const { visitor } of [one, other]) {
          expect((await visitor.post("/sign-out")).status).toBe(200);
          expect(visitor.jar.has("refreshToken")).toBe(false);
          expect(await visitor.isSignedIn()).toBe(false);
        }
        const { adapter } = await server.$context;
        const model = "tokenAuthorityRevocation";
        const rows = await adapter.findMany<{ value: string }>({ model });
        expect(rows.length).toBeGreaterThanOrEqual(2);
        // The table shows no refresh token.
        for (const { value } of rows)
          expect(copies.filter((copy) => value.includes(copy))).toEqual([]);
        if (which === "this process") {
          await own.restart();
        } else {
          // Where the first one does not look for it.
          await own.restart({ GRPC_ADDR: "127.0.0.1:0" });
          await (await serverOf(database, { address: own.grpc })).$context;
        }
        await until("revoked", async () => {
          const { results } = await own.tokens.validateTokens({ tokens });
          return results.every(({ active }) => !active);
        });
        await until("delivered", async () => (await adapter.count({ model })) === 0);
      },
    );
  });
});
