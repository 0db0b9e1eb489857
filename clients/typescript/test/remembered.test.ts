/** A token that was verified is remembered by its end, and yet no other text passes for it. */

import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { createVerifier, TokenError } from "../src/server/index.ts";

const SECRET = "a secret of these tests, and of nothing else";
const encode = (text: string) => Buffer.from(text).toString("base64url");
const sign = (signed: string) => createHmac("sha256", SECRET).update(signed).digest("base64url");

const KID = `hs-${sign("token-authority/kid/v1").slice(0, 12)}`;
const HEADER = encode(JSON.stringify({ alg: "HS256", typ: "at+jwt", kid: KID }));

/** A token with this payload, encoded. */
const withPayload = (payload: string) => `${HEADER}.${payload}.${sign(`${HEADER}.${payload}`)}`;
const payload = (sub: string) =>
  encode(JSON.stringify({ sub, exp: 2_000_000_000, type: "access" }));

const verifier = createVerifier({ secret: SECRET, authority: false });
const verdict = (token: string): Promise<string> =>
  verifier.verify(token).then(
    ({ userId }) => userId,
    (failure: unknown) => {
      if (failure instanceof TokenError) return failure.reason;
      throw failure;
    },
  );

describe("a remembered token", () => {
  test("gives no other text its verdict, whichever letter differs", async () => {
    const token = withPayload(payload("alice"));
    expect(await verdict(token)).toBe("alice");
    const end = token.lastIndexOf(".") + 1;
    for (let place = 0; place < token.length; place += 1) {
      const letter = token[place] === "A" ? "B" : "A";
      const other = `${token.slice(0, place)}${letter}${token.slice(place + 1)}`;
      const reasons = place < end ? /^(malformed|bad-signature|unknown-key)$/ : /^bad-signature$/;
      expect(await verdict(other), `letter ${place}`).toMatch(reasons);
      expect(await verdict(token)).toBe("alice");
    }
  });

  test("does not lend its claims to a payload with the same signature", async () => {
    const token = withPayload(payload("alice"));
    expect(await verdict(token)).toBe("alice");
    const signature = token.slice(token.lastIndexOf("."));
    expect(await verdict(`${HEADER}.${payload("admin")}${signature}`)).toBe("bad-signature");
    expect(await verdict(withPayload(payload("bob")))).toBe("bob");
    expect(await verdict(token)).toBe("alice");
  });
});

describe("a payload that is signed, but not in the one base64url of its bytes,", () => {
  const good = payload("carol€");
  test.each([
    ["in base64", encode('{"sub":"?>?>","exp":2000000000,"type":"access"}').replace(/[-_]/g, "/")],
    ["padded", `${good}=`],
    ["with a blank", `${good.slice(0, 8)} ${good.slice(8)}`],
    ["with a line break at its end", `${good}\n`],
    ["with a letter too many", `${encode('{"sub":"x","exp":2000000000,"type":"access"} ')}A`],
    ["with a letter of another alphabet", `${good}Ａ`],
    [
      "with stray bits",
      `${encode('{"sub":"abc","exp":2000000000,"type":"access"}').slice(0, -1)}R`,
    ],
    ["empty", ""],
  ])("%s, is malformed", async (_, encoded) => {
    expect(await verdict(withPayload(good))).toBe("carol€");
    expect(await verdict(withPayload(encoded))).toBe("malformed");
  });
});
