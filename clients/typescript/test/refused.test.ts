/** The refused sessions: what was added is refused, whatever its id. */

import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { RefusedSessions } from "../src/server/refused.ts";

const ALL = Number.POSITIVE_INFINITY;

describe("refused sessions", () => {
  test("are those that were added, and no others", () => {
    const refused = new RefusedSessions();
    const added = ["", "a", "é€😀", ...Array.from({ length: 20_000 }, () => randomUUID())];
    for (const session of added) refused.add(session, { until: 1_000, epoch: ALL });
    expect(refused.size).toBe(added.length);
    expect(added.filter((session) => refused.refusal(session, 7) !== "revoked")).toEqual([]);
    const others = ["b", "aa", ...Array.from({ length: 20_000 }, () => randomUUID())];
    expect(others.filter((session) => refused.refusal(session, 0) !== undefined)).toEqual([]);
  });

  test("keep the entry that refuses more", () => {
    const refused = new RefusedSessions();
    refused.add("s", { until: 1_000, epoch: 2 });
    expect(refused.refusal("s", 1)).toBe("stale");
    expect(refused.refusal("s", 2)).toBeUndefined();
    refused.add("s", { until: 1_000, epoch: 1 });
    expect(refused.refusal("s", 1)).toBe("stale");
    refused.add("s", { until: 1_000, epoch: ALL });
    refused.add("s", { until: 1_000, epoch: 3 });
    expect(refused.refusal("s", 9)).toBe("revoked");
  });

  test("are dropped when their time is over, and may come again", () => {
    const refused = new RefusedSessions();
    refused.add("early", { until: 1_000, epoch: ALL });
    refused.add("late", { until: 2_000, epoch: ALL });
    refused.dropBefore(1_001);
    expect(refused.refusal("early", 0)).toBeUndefined();
    expect(refused.refusal("late", 0)).toBe("revoked");
    refused.add("early", { until: 3_000, epoch: ALL });
    expect(refused.refusal("early", 0)).toBe("revoked");
    expect(refused.size).toBe(2);
  });
});
