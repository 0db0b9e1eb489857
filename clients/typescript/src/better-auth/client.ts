/**
 * The plugin's half for Better Auth's client.
 *
 * @module
 */

import type { BetterAuthClientPlugin } from "better-auth/client";
import type { Session } from "../browser/index.ts";
import type { tokenAuthority } from "./index.ts";

/** What the client tells of. */
export interface TokenAuthorityClientOptions {
  /** The page's session. With it, `authClient.signOut()` ends the tokens of all tabs at once. */
  session?: Pick<Session, "signOut"> | undefined;
}

/** The plugin, as Better Auth's client sees it. */
export interface TokenAuthorityClient extends Pick<BetterAuthClientPlugin, "fetchPlugins"> {
  id: "token-authority";
  $InferServerPlugin: ReturnType<typeof tokenAuthority>;
  pathMethods: { "/token-authority/exchange": "POST" };
}

/** Adds `authClient.tokenAuthority.exchange()`. */
export function tokenAuthorityClient({
  session,
}: TokenAuthorityClientOptions = {}): TokenAuthorityClient {
  return {
    id: "token-authority",
    $InferServerPlugin: {} as ReturnType<typeof tokenAuthority>,
    pathMethods: { "/token-authority/exchange": "POST" },
    fetchPlugins: [
      {
        id: "token-authority",
        name: "token-authority",
        hooks: {
          onSuccess: async ({ request }) => {
            const { pathname } = new URL(request.url, "http://localhost");
            if (pathname.endsWith("/sign-out")) await session?.signOut();
          },
        },
      },
    ],
  };
}
