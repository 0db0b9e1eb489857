/** A real OpenID provider, where everybody who comes is signed in at once. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import Provider from "oidc-provider";

export const CLIENT = { clientId: "product", clientSecret: "the client's secret of the test" };

export async function startProvider(redirectUri: string) {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let accountId = "";
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT.clientId,
        client_secret: CLIENT.clientSecret,
        redirect_uris: [redirectUri],
      },
    ],
    cookies: { keys: ["a key of the test"] },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false } },
    findAccount: (_, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, email: id, email_verified: true, name: "Someone" }),
    }),
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client?.clientId ?? "",
        accountId: ctx.oidc.session?.accountId ?? "",
      });
      grant.addOIDCScope("openid email profile");
      await grant.save();
      return grant;
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  });
  provider.use(async (ctx, next) => {
    if (!ctx.path.startsWith("/interaction/")) return next();
    await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId } });
    ctx.respond = false;
  });
  server.on("request", provider.callback());
  return {
    issuer,
    /** Goes through the provider's pages as a browser does; where they lead in the end. */
    async signIn(email: string, url: string): Promise<string> {
      accountId = email;
      const cookies = new Map<string, string>();
      let next = url;
      while (next.startsWith(issuer)) {
        const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
        const answer = await fetch(next, { redirect: "manual", headers: { cookie } });
        for (const set of answer.headers.getSetCookie()) {
          const [name = "", value = ""] = (set.split(";")[0] ?? "").split(/=(.*)/s);
          cookies.set(name, value);
        }
        const location = answer.headers.get("location");
        if (!location) throw new Error(`${next}: ${answer.status} ${await answer.text()}`);
        next = new URL(location, next).href;
      }
      return next;
    },
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
