/** Processes that end with the test that started them, however that ends. */

/** A command, run so that the kernel kills it when its parent has ended. */
export function bound(command: string, args: readonly string[]): [string, string[]] {
  return ["setpriv", ["--pdeathsig", "KILL", "--", command, ...args]];
}
