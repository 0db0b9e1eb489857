/** The programs in the guides: fenced blocks that name a file, as in ```js title="server.mjs". */

import { readFileSync } from "node:fs";

export interface Snippet {
  title: string;
  code: string;
}

const FENCE = /^```\w+ title="([^"]+)"\n([\s\S]*?)^```$/gm;

export function snippetsOf(page: string): Snippet[] {
  const found = readFileSync(page, "utf8").matchAll(FENCE);
  return [...found].map(([, title = "", code = ""]) => ({ title, code }));
}
