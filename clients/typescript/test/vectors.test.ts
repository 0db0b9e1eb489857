/** The verifier reaches the authority's verdict on every token of the shared vectors. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { createVerifier, type JwkSet, TokenError } from "../src/server/index.ts";

interface Vector {
  name: string;
  token: string;
  key: { secret: string } | { jwks: JwkSet };
  /** Seconds since the Unix epoch. */
  now: number;
  audience?: string;
  verdict: string;
}

const FILE = resolve(import.meta.dirname, "../../vectors/verdicts.json");
const vectors: Vector[] = JSON.parse(readFileSync(FILE, "utf8"));

test("the vectors are all there", () => {
  expect(vectors.length).toBeGreaterThan(60);
  expect(new Set(vectors.map(({ verdict }) => verdict)).size).toBeGreaterThan(6);
});

describe("the verdict on", () => {
  test.each(vectors)("$name is $verdict", async ({ token, key, now, audience, verdict }) => {
    const verifier = createVerifier({ ...key, audience, now: () => now, authority: false });
    const verified = verifier.verify(token).then(
      () => "active",
      (failure: unknown) => {
        if (failure instanceof TokenError) return failure.reason;
        throw failure;
      },
    );
    expect(await verified).toBe(verdict);
    // What is remembered of a token changes nothing.
    if (verdict === "active") expect((await verifier.verify(token)).userId).not.toBe("");
  });
});
