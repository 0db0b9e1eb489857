import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/setup.ts"],
    // Real services and browsers share a small machine: what takes longer hangs.
    testTimeout: 240_000,
    hookTimeout: 600_000,
    maxWorkers: 2,
  },
});
