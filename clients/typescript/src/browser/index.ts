/**
 * The session of a page: keeps the access token in memory and renews it when it is needed.
 *
 * There is no lock between tabs, no leader and no timer that renews: tabs may refresh at the same
 * moment, since the authority answers lost and simultaneous refreshes with the same successor.
 *
 * @module
 */

/** How a page reaches the authority. */
export interface SessionOptions {
  /** Where the authority's routes are, as a path or a URL. Default: `/api/auth`. */
  basePath?: string;
}

/**
 * What happened to the session: someone is signed in, nobody is, or another tab signed in as
 * someone else.
 */
export type SessionEvent = "signed-in" | "signed-out" | "switched";

/** The session of this page. Its functions need no `this`. */
export interface Session {
  /**
   * The access token, renewed if need be. Null: nobody is signed in.
   *
   * @throws SessionError if the authority cannot be reached; the user may still be signed in.
   */
  getAccessToken(): Promise<string | null>;
  /** As `fetch`, with the access token; renewed, and tried once more, after a 401. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /**
   * Ends the session, in all tabs.
   *
   * @throws SessionError if the authority cannot be reached; the user is still signed in.
   */
  signOut(): Promise<void>;
  /** Calls `listener` whenever something happens to the session, until the result is called. */
  onChange(listener: (event: SessionEvent) => void): () => void;
  /** The user's id. Null: nobody is signed in. Undefined: not known yet, or not told. */
  readonly userId: string | null | undefined;
}

/** The authority could not be reached, or did not understand the request. */
export class SessionError extends Error {
  override readonly name = "SessionError";
  /** The HTTP status of its answer. Undefined: there was none. */
  readonly status: number | undefined;

  constructor(message: string, status?: number, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/** A failure that may be over soon. */
class Failure extends SessionError {
  /** How long not to ask again, in milliseconds. */
  readonly retryAfter: number;

  constructor(message: string, status?: number, cause?: unknown, retryAfter = 0) {
    super(message, status, cause);
    this.retryAfter = retryAfter;
  }
}

/** Half of the authority's concurrency window: a request that takes longer is asked again. */
const PATIENCE = 15_000;
/** A token that ends sooner is renewed. */
const MARGIN = 60_000;
/** A token that ends sooner may be over before the request arrives. */
const LAST_MOMENT = 5_000;
/** The first pause after a failure. The second is twice as long. */
const PAUSE = 500;
const ATTEMPTS = 3;
/** A caller that waits for a token waits for no longer pause than this. */
const LONGEST_WAIT = 5_000;
/**
 * The reasons of a 401 that end the session. Any other answer leaves it as it is. A session that is
 * bound to another device lives, but this page needs a new login.
 */
const OVER = ["expired", "revoked", "reused", "invalid", "unbound"];
/** A binding to this device that was made while a request was under way has arrived after this pause. */
const BINDING_PAUSE = 1_000;

interface Token {
  value: string;
  /** When it ends, by the clock of the system and by one that never jumps. */
  ends: [wall: number, steady: number];
  margin: number;
}

/** Creates the session of this page. Create it once. */
export function createSession({ basePath = "/api/auth" }: SessionOptions = {}): Session {
  const base = basePath.replace(/\/$/, "");
  const listeners = new Set<(event: SessionEvent) => void>();
  let token: Token | null = null;
  let userId: string | null | undefined;
  /** The session of the last access token: its cookie counts, if the browser sends several. */
  let sessionId: string | undefined;
  let isKnown = false;
  let refreshing: Promise<string | null> | undefined;
  /** Counts what makes an earlier answer worthless, such as a logout. */
  let epoch = 0;
  /** Until when (by the steady clock) the authority asked to be left alone. */
  let quietUntil = 0;
  let channel: BroadcastChannel | undefined;

  const emit = (event: SessionEvent): void => {
    for (const listener of [...listeners]) listener(event);
  };

  /** Takes in who is signed in now; `null` is nobody. */
  const learn = (user: string | null | undefined, isNews: boolean): void => {
    const was = userId;
    const wasKnown = isKnown;
    userId = user;
    isKnown = true;
    if (wasKnown && was === user) return;
    const isSwitch = wasKnown && was !== null && user !== null;
    // Nobody knows whether it is someone else if nobody told who it was.
    if (isSwitch && (was === undefined || user === undefined)) return;
    if (isNews) channel?.postMessage(user);
    emit(user === null ? "signed-out" : isSwitch ? "switched" : "signed-in");
  };

  const end = (isNews: boolean): void => {
    epoch += 1;
    token = null;
    sessionId = undefined;
    refreshing = undefined;
    learn(null, isNews);
  };

  /** How much longer the token lives, in milliseconds. */
  const remaining = (): number =>
    token ? Math.min(token.ends[0] - Date.now(), token.ends[1] - performance.now()) : 0;

  /** Asks until there is an answer that means something. */
  const post = async (path: string): Promise<Response> => {
    let failure: SessionError = new SessionError(
      "the authority asked to be left alone for a while",
      503,
    );
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const wait = quietUntil - performance.now();
      if (wait > LONGEST_WAIT) break;
      if (wait > 0) await new Promise((done) => setTimeout(done, wait));
      const answer = await ask(base + path, sessionId);
      if (!(answer instanceof Failure)) return answer;
      failure = answer;
      quieten(attempt, answer.retryAfter);
    }
    throw failure;
  };

  /** Nobody asks again before the pause is over; tabs do not come back all at once. */
  const quieten = (attempt: number, least: number): void => {
    const pause = Math.max(least, PAUSE * 2 ** attempt);
    quietUntil = performance.now() + pause * (1 + Math.random() / 4);
  };

  const refresh = (): Promise<string | null> => {
    if (refreshing) return refreshing;
    const began = epoch;
    const mine = renew(began).finally(() => {
      if (refreshing === mine) refreshing = undefined;
    });
    refreshing = mine;
    return mine;
  };

  const renew = async (began: number, isRepeated = false): Promise<string | null> => {
    const answer = await post("/refresh");
    const body = await answer.json().catch(() => ({}));
    // In the meantime somebody signed out, or signed in as someone else.
    if (began !== epoch) return userId === null ? null : getAccessToken();
    if (answer.ok && typeof body.accessToken === "string") {
      keep(body);
      return body.accessToken;
    }
    const reason = answer.status === 401 ? body.reason : undefined;
    if (reason === "unbound" && !isRepeated) {
      await new Promise((done) => setTimeout(done, BINDING_PAUSE));
      return renew(began, true);
    }
    if (OVER.includes(reason)) {
      end(true);
      return null;
    }
    throw new SessionError(`the refresh was answered ${answer.status}`, answer.status);
  };

  const keep = (body: { accessToken: string; expiresIn: number; userId?: string }): void => {
    const life = body.expiresIn * 1000;
    token = {
      value: body.accessToken,
      ends: [Date.now() + life, performance.now() + life],
      margin: Math.min(MARGIN, life / 2),
    };
    const { sub, sid } = claimsOf(body.accessToken);
    sessionId = sid;
    learn(body.userId ?? sub, true);
  };

  const getAccessToken = async (): Promise<string | null> => {
    const life = remaining();
    if (!token || life <= LAST_MOMENT) return refresh();
    // It is still good: nobody has to wait for the next one.
    if (life <= token.margin) refresh().catch(() => {});
    return token.value;
  };

  const authorized = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    if (request.headers.has("authorization")) return fetch(request);
    const again = request.clone();
    // Who is known to be signed out is not asked about again, unless the answer is a 401.
    const used = userId === null ? null : await getAccessToken();
    const answer = await fetch(bearing(request, used));
    if (answer.status !== 401) return answer;
    if (token?.value === used) token = null;
    const fresh = await getAccessToken().catch(() => null);
    return fresh && fresh !== used ? fetch(bearing(again, fresh)) : answer;
  };

  const signOut = async (): Promise<void> => {
    const answer = await post("/logout");
    if (!answer.ok) {
      throw new SessionError(`the logout was answered ${answer.status}`, answer.status);
    }
    end(true);
  };

  const wake = (isCertain: boolean): void => {
    quietUntil = 0;
    const isDue = isCertain || (token && remaining() <= token.margin);
    if (userId !== null && isKnown && isDue) refresh().catch(() => {});
  };

  /** Another tab tells who is signed in. */
  const hear = ({ data }: MessageEvent<string | null | undefined>): void => {
    if (isKnown && data === userId) return;
    if (data === null) {
      end(false);
      return;
    }
    // Never a request as the user before.
    token = null;
    sessionId = undefined;
    epoch += 1;
    refreshing = undefined;
    if (isKnown) refresh().catch(() => {});
  };

  const open = (): void => {
    channel = new BroadcastChannel(`token-authority ${base}`);
    channel.onmessage = hear;
  };

  // Not while a page is rendered on the server.
  if (typeof document !== "undefined") {
    open();
    // An open channel keeps a page out of the back/forward cache.
    addEventListener("pagehide", () => {
      channel?.close();
      channel = undefined;
    });
    addEventListener("pageshow", ({ persisted }) => {
      if (!channel) open();
      // It heard nothing in there.
      wake(persisted);
    });
    addEventListener("online", () => wake(false));
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") wake(false);
    });
  }

  return {
    getAccessToken,
    fetch: authorized,
    signOut,
    onChange: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    get userId() {
      return userId;
    },
  };
}

/** Asks once. What it comes to is a failure if asking again may help. */
async function ask(url: string, sessionId?: string): Promise<Response | Failure> {
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: sessionId ? { "x-session-id": sessionId } : {},
      credentials: "include",
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE),
    });
    const { status, headers } = answer;
    if (status !== 429 && status < 500) return answer;
    const seconds = Number(headers.get("retry-after")) || 0;
    return new Failure(`the authority answered ${status}`, status, undefined, seconds * 1000);
  } catch (cause) {
    // Also a refused origin: the page is not told more.
    return new Failure("the authority cannot be reached", undefined, cause);
  }
}

function bearing(request: Request, token: string | null): Request {
  if (token) request.headers.set("authorization", `Bearer ${token}`);
  return request;
}

/** The claims of a JWT; it is not verified. Any other token has none. */
function claimsOf(token: string): { sub?: string; sid?: string } {
  try {
    const payload = token.split(".")[1]?.replace(/-/g, "+").replace(/_/g, "/") ?? "";
    const bytes = Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}
