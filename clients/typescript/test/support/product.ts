/** A product on one origin: its page, its auth-server, an API, and the authority behind a proxy. */

import { readFileSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { createVerifier, type Verifier } from "../../src/server/index.ts";
import type { Authority } from "./authority.ts";

const KIT = resolve(import.meta.dirname, "../../dist/browser.js");

const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>A product's page</title>
<link rel="icon" href="data:,">
<script type="module">
  import { createSession } from "/browser.js";
  window.session = createSession();
  window.events = [];
  session.onChange((event) => events.push({ event, at: Date.now() }));
</script>`;

/** What becomes of the authority's replies. */
export type Replies = "arrive" | "lose-some" | "hold" | "refuse" | "limit";

export class Product {
  replies: Replies = "arrive";
  /** How many refreshes are under way for each tab, at most, and all in all. */
  readonly mostAtOnce = new Map<string, number>();
  refreshes = 0;
  lost = 0;
  /** What the refreshes were answered, in order. */
  readonly answers: number[] = [];
  readonly #authority: Authority;
  readonly #verifier: Verifier;
  readonly #server: Server;
  readonly #underWay = new Map<string, number>();

  private constructor(authority: Authority) {
    this.#authority = authority;
    this.#verifier = createVerifier({
      secret: authority.secret,
      authority: { address: authority.grpc },
    });
    this.#server = createServer((asked, answer) => {
      this.#handle(asked, answer).catch((failure) => {
        answer.writeHead(500).end(String(failure));
      });
    });
  }

  static async start(authority: Authority): Promise<Product> {
    const product = new Product(authority);
    product.#server.listen(0, "127.0.0.1");
    await new Promise((done) => product.#server.once("listening", done));
    return product;
  }

  get origin(): string {
    // A name by which browsers take cookies that are `Secure` without TLS.
    return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await this.#verifier.close();
  }

  async #handle(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(asked.url ?? "/", "http://localhost");
    if (pathname.startsWith("/api/auth/")) return this.#forward(asked, answer);
    if (pathname === "/browser.js") {
      answer.setHeader("content-type", "text/javascript").end(readFileSync(KIT));
    } else if (pathname === "/login") {
      const userId = searchParams.get("user") ?? "";
      const issued = await this.#authority.tokens.issueTokens({ userId });
      const age = issued.refreshExpiresIn?.seconds;
      const attributes = `HttpOnly; Secure; SameSite=Lax; Path=/api/auth; Max-Age=${age}`;
      answer.setHeader("set-cookie", `refreshToken=${issued.refreshToken}; ${attributes}`).end();
    } else if (pathname === "/api/me") {
      await this.#me(asked, answer);
    } else {
      answer.setHeader("content-type", "text/html").end(PAGE);
    }
  }

  async #me(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    let body = "";
    for await (const part of asked) body += part;
    const token = asked.headers.authorization?.slice("Bearer ".length) ?? "";
    const identity = await this.#verifier.verify(token).catch(() => undefined);
    if (!identity) answer.writeHead(401).end();
    else answer.end(JSON.stringify({ userId: identity.userId, body }));
  }

  #forward(asked: IncomingMessage, answer: ServerResponse): void {
    const tab = asked.headers.referer ?? "";
    const isRefresh = asked.url?.endsWith("/refresh");
    if (isRefresh) this.#begin(tab, answer);
    const replies = this.replies;
    if (replies === "refuse") {
      asked.socket.destroy();
      return;
    }
    if (replies === "limit") {
      answer.writeHead(429, { "retry-after": "1" }).end("{}");
      return;
    }
    const { host, port } = { host: "127.0.0.1", port: new URL(this.#authority.http).port };
    const { url, method, headers } = asked;
    const forwarded = request({ host, port, path: url, method, headers }, (reply) => {
      if (replies === "hold") return;
      if (replies === "lose-some" && Math.random() < 0.05) {
        this.lost += 1;
        asked.socket.destroy();
        return;
      }
      if (isRefresh) this.answers.push(reply.statusCode ?? 0);
      answer.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(answer);
    });
    forwarded.on("error", () => answer.writeHead(502).end());
    asked.pipe(forwarded);
  }

  #begin(tab: string, answer: ServerResponse): void {
    this.refreshes += 1;
    const now = (this.#underWay.get(tab) ?? 0) + 1;
    this.#underWay.set(tab, now);
    this.mostAtOnce.set(tab, Math.max(now, this.mostAtOnce.get(tab) ?? 0));
    answer.once("close", () => this.#underWay.set(tab, (this.#underWay.get(tab) ?? 1) - 1));
  }
}
