/** gRPC-Web over `fetch`: the way to the authority on Cloudflare Workers, Deno and Bun. */

import type { Interceptor } from "@connectrpc/connect";
import type { UniversalClientFn } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-grpc-web";
import type { Connection, Endpoint } from "./transport.ts";

/** The largest message, as for gRPC on the authority's side. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Connects by gRPC-Web. */
export function connectByFetch(
  { target, isSecure, apiKey }: Endpoint,
  fetch: typeof globalThis.fetch,
): Connection {
  const stop = new AbortController();
  const authorize: Interceptor = (next) => (request) => {
    if (apiKey) request.header.set("authorization", `Bearer ${apiKey}`);
    return next(request);
  };
  const transport = createTransport({
    baseUrl: `${isSecure ? "https" : "http"}://${target}`,
    httpClient: clientOf(fetch, stop.signal),
    useBinaryFormat: true,
    interceptors: [authorize],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: MAX_BYTES,
    writeMaxBytes: MAX_BYTES,
  });
  return { transport, close: () => stop.abort() };
}

/** Sends Connect's requests by `fetch`, in one piece: not every platform streams their bodies. */
function clientOf(fetch: typeof globalThis.fetch, stop: AbortSignal): UniversalClientFn {
  return async ({ url, method, header, body, signal }) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of body ?? []) pieces.push(piece);
    const answer = await fetch(url, {
      method,
      headers: header,
      body: new Blob(pieces as Uint8Array<ArrayBuffer>[]),
      signal: signal ? AbortSignal.any([signal, stop]) : stop,
      // The key is for the authority alone.
      redirect: "manual",
    });
    const trailer = new Headers();
    return { status: answer.status, header: answer.headers, body: read(answer), trailer };
  };
}

/** The pieces of a body. Not every platform's can be iterated over. */
async function* read({ body }: Response): AsyncIterable<Uint8Array> {
  const reader = body?.getReader();
  try {
    for (let piece = await reader?.read(); piece?.value; piece = await reader?.read()) {
      yield piece.value;
    }
  } finally {
    await reader?.cancel().catch(() => {});
  }
}
