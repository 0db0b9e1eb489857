/** Ends a worker of vitest, and with it all that its tests have started, when vitest was killed. */

process.once("disconnect", () => process.kill(process.pid, "SIGKILL"));
