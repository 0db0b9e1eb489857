/**
 * The connection to the authority: by gRPC over HTTP/2, or by gRPC-Web over `fetch` on platforms
 * without an HTTP/2 client.
 */

import type { Transport } from "@connectrpc/connect";
import { connectByFetch } from "./grpc-web.ts";

/** How TLS is spoken to the authority. */
export interface TlsOptions {
  /** The certificates that are trusted, in PEM. Default: Node's own list. */
  ca?: string | Uint8Array;
  /** The caller's own certificate chain, in PEM, if the authority asks for one. */
  cert?: string | Uint8Array;
  /** The private key of `cert`, in PEM. */
  key?: string | Uint8Array;
}

/** Where the authority is, and who calls it. */
export interface AuthorityOptions {
  /**
   * The authority's gRPC port, as `host:port`. `https://host:port` asks for TLS, too, for settings
   * that come from the environment.
   */
  address: string;
  /** The caller's key, `tak_…`. Not needed with a client certificate, or in development. */
  apiKey?: string | undefined;
  /** TLS with the default trust store (`true`) or with the given certificates. Default: none. */
  tls?: boolean | TlsOptions | undefined;
  /**
   * Whether to call by gRPC-Web over `fetch`, on the same port, or a `fetch` of your own. `tls` then
   * names no certificates: they are the platform's. Default: on Cloudflare Workers, Deno and Bun.
   */
  fetch?: boolean | typeof globalThis.fetch | undefined;
}

/** A connection that is opened when it is first used. */
export interface Connection {
  readonly transport: Transport;
  /** Closes the connection. Calls that are under way fail. */
  close(): void;
}

/** What the options say, taken apart. */
export interface Endpoint {
  /** `host:port`. */
  target: string;
  isSecure: boolean;
  tls: boolean | TlsOptions | undefined;
  apiKey: string | undefined;
}

/** Connects to the authority. */
export function connect(options: AuthorityOptions): Connection {
  const endpoint = endpointOf(options);
  const { fetch = hasFetchOnly() } = options;
  if (!fetch) return connectLater(endpoint);
  if (typeof endpoint.tls === "object") {
    throw new TypeError("with fetch, the platform's certificates count: tls can only be true");
  }
  return connectByFetch(endpoint, typeof fetch === "function" ? fetch : globalThis.fetch);
}

function endpointOf({ address, tls, apiKey }: AuthorityOptions): Endpoint {
  const url = /^(https?):\/\/([^/]+)\/?$/.exec(address);
  if (!url && /:\/\/[^/]/.test(address)) throw new TypeError(`${address} is not host:port`);
  const isSecure = url ? url[1] === "https" : Boolean(tls);
  return { target: url?.[2] ?? address, isSecure, tls, apiKey };
}

/** Whether the platform is one whose HTTP/2 client is missing, or not the one of Node. */
function hasFetchOnly(): boolean {
  const { navigator } = globalThis as { navigator?: { userAgent?: string } };
  return /^(Cloudflare-Workers|Deno|Bun)/.test(navigator?.userAgent ?? "");
}

/** Connects by gRPC, whose code a platform without `node:http2` could not even load. */
function connectLater(endpoint: Endpoint): Connection {
  const connecting = import("./grpc.ts").then(({ connectByGrpc }) => connectByGrpc(endpoint));
  // Each call is told.
  connecting.catch(() => {});
  const transport: Transport = {
    unary: async (...call) => (await connecting).transport.unary(...call),
    stream: async (...call) => (await connecting).transport.stream(...call),
  };
  const close = () => {
    connecting.then(
      (connection) => connection.close(),
      () => {},
    );
  };
  return { transport, close };
}
