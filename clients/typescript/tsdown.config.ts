import { defineConfig } from "tsdown";

export default defineConfig([
  {
    entry: {
      server: "src/server/index.ts",
      "better-auth": "src/better-auth/index.ts",
      "better-auth/client": "src/better-auth/client.ts",
    },
    platform: "node",
    // Types that are inferred from Better Auth's are named, not copied.
    deps: { neverBundle: ["better-call", "@better-fetch/fetch", "rou3"] },
    target: "node20",
    dts: true,
    fixedExtension: false,
    clean: false,
  },
  {
    entry: { browser: "src/browser/index.ts" },
    platform: "browser",
    // Safari 15.4 and what is as old.
    target: "es2022",
    dts: true,
    // A page loads it as it is: every byte counts.
    minify: true,
    clean: false,
  },
]);
