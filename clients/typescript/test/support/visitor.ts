/** A browser's cookie jar at a product whose auth-server is Better Auth. */

import type { Authority } from "./authority.ts";

export const ORIGIN = "http://localhost:3000";

/** What a product's auth-server is for its visitors. */
export interface AuthServer {
  handler(request: Request): Promise<Response>;
}

export interface Reply {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests read many shapes
  body: any;
  location: string | null;
  retryAfter: string | null;
  setCookies: string[];
}

export class Visitor {
  readonly jar = new Map<string, string>();
  readonly #auth: AuthServer;
  readonly #authority: Authority;
  /** The access token that the page holds. */
  accessToken = "";
  /** The cookies that the last renewal set. */
  renewed: string[] = [];

  constructor(auth: AuthServer, authority: Authority) {
    this.#auth = auth;
    this.#authority = authority;
  }

  get(path: string): Promise<Reply> {
    return this.#send(new Request(this.#url(path), { headers: this.#headers() }));
  }

  post(path: string, body: object = {}): Promise<Reply> {
    const headers = { ...this.#headers(), "content-type": "application/json", origin: ORIGIN };
    const init = { method: "POST", headers, body: JSON.stringify(body) };
    return this.#send(new Request(this.#url(path), init));
  }

  /** As the `fetch` of a page. */
  async fetch(url: string | URL | Request, init?: RequestInit): Promise<Response> {
    const request = new Request(url, init);
    for (const [name, value] of Object.entries({ ...this.#headers(), origin: ORIGIN })) {
      request.headers.set(name, value);
    }
    const answer = await this.#auth.handler(request);
    this.#keep(answer);
    return answer;
  }

  /** Has the page renew; whether it has tokens then. */
  async refresh(): Promise<boolean> {
    const url = `${this.#authority.http}/api/auth/refresh`;
    const cookie = `refreshToken=${this.jar.get("refreshToken") ?? ""}`;
    const answer = await fetch(url, { method: "POST", headers: { cookie } });
    this.renewed = this.#keep(answer);
    const body = (await answer.json()) as { accessToken?: string };
    this.accessToken = body.accessToken ?? "";
    return answer.status === 200;
  }

  /** Whether Better Auth knows who it is. */
  async isSignedIn(): Promise<boolean> {
    return Boolean((await this.get("/get-session?disableCookieCache=true")).body);
  }

  /** Who is in: at Better Auth, by the page's access token, and by a renewal. */
  async isIn(): Promise<{ session: boolean; access: boolean; refresh: boolean }> {
    const token = this.accessToken;
    const access = token !== "" && (await this.#authority.tokens.validateToken({ token })).active;
    const session = await this.isSignedIn();
    return { session, access, refresh: await this.refresh() };
  }

  /** What the page's access token says. */
  get claims(): Record<string, unknown> {
    const payload = this.accessToken.split(".")[1] ?? "";
    return JSON.parse(Buffer.from(payload, "base64url").toString());
  }

  #url(path: string): string {
    return path.startsWith("http") ? path : `${ORIGIN}/api/auth${path}`;
  }

  #headers(): Record<string, string> {
    const cookie = [...this.jar].map(([name, value]) => `${name}=${value}`).join("; ");
    return { "user-agent": "a browser", ...(cookie ? { cookie } : {}) };
  }

  async #send(request: Request): Promise<Reply> {
    const answer = await this.#auth.handler(request);
    const setCookies = this.#keep(answer);
    const text = await answer.text();
    const isJson = answer.headers.get("content-type")?.includes("json");
    return {
      status: answer.status,
      body: isJson && text ? JSON.parse(text) : text,
      location: answer.headers.get("location"),
      retryAfter: answer.headers.get("retry-after"),
      setCookies,
    };
  }

  #keep(answer: Response): string[] {
    const set = answer.headers.getSetCookie();
    for (const line of set) {
      const [name = "", value = ""] = (line.split(";")[0] ?? "").split(/=(.*)/s);
      if (/max-age=0(;|$)/i.test(line) || value === "") this.jar.delete(name);
      else this.jar.set(name, value);
    }
    return set;
  }
}
