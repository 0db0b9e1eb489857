/** gRPC over HTTP/2, by grpc-js: the usual way to the authority. */

import {
  create,
  type DescMessage,
  type DescMethodStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  ConnectError,
  type StreamResponse,
  type Transport,
  type UnaryResponse,
} from "@connectrpc/connect";
import {
  type CallOptions,
  type ChannelCredentials,
  Client,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import type { Connection, Endpoint } from "./transport.ts";

/** How the connection behaves. */
const CHANNEL = {
  // All replicas behind a name get their share, as does a new one.
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  // A ping every ten seconds finds out that the other side is gone, and five more end the wait.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  // An authority that restarts is back within seconds.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // Channels that are shared would outlive `close`.
  "grpc.use_local_subchannel_pool": 1,
};

/** Connects by gRPC. */
export function connectByGrpc({ target, isSecure, tls, apiKey }: Endpoint): Connection {
  const security = isSecure ? secure(tls) : credentials.createInsecure();
  const client = new Client(target, security, CHANNEL);
  return { transport: new GrpcTransport(client, apiKey), close: () => client.close() };
}

function secure(tls: Endpoint["tls"]): ChannelCredentials {
  const { ca, cert, key } = typeof tls === "object" ? tls : {};
  const pem = (text: string | Uint8Array | undefined) => (text ? Buffer.from(text) : null);
  return credentials.createSsl(pem(ca), pem(key), pem(cert));
}

/** Carries Connect's calls by grpc-js. */
class GrpcTransport implements Transport {
  readonly #client: Client;
  readonly #credential: string | undefined;

  constructor(client: Client, apiKey: string | undefined) {
    this.#client = client;
    this.#credential = apiKey && `Bearer ${apiKey}`;
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    _header: HeadersInit | undefined,
    input: MessageInitShape<I>,
  ): Promise<UnaryResponse<I, O>> {
    return new Promise((resolve, reject) => {
      const done = (failure: ServiceError | null, message: unknown) => {
        if (failure) reject(errorOf(failure));
        else resolve({ ...about(method), stream: false, message } as UnaryResponse<I, O>);
      };
      const { path, write, read } = codec(method);
      const call = this.#client.makeUnaryRequest(
        path,
        write,
        read,
        input,
        this.#metadata(),
        within(timeoutMs),
        done,
      );
      signal?.addEventListener("abort", () => call.cancel(), { once: true });
    });
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    _header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
  ): Promise<StreamResponse<I, O>> {
    const { path, write, read } = codec(method);
    // The authority's streams take one message.
    const { value } = await input[Symbol.asyncIterator]().next();
    const metadata = this.#metadata();
    const call = this.#client.makeServerStreamRequest(
      path,
      write,
      read,
      value,
      metadata,
      within(timeoutMs),
    );
    signal?.addEventListener("abort", () => call.cancel(), { once: true });
    if (signal?.aborted) call.cancel();
    const messages = async function* () {
      try {
        yield* call;
      } catch (failure) {
        throw errorOf(failure as ServiceError);
      }
    };
    return { ...about(method), stream: true, message: messages() } as StreamResponse<I, O>;
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    if (this.#credential) metadata.set("authorization", this.#credential);
    return metadata;
  }
}

type Method<I extends DescMessage, O extends DescMessage> =
  | DescMethodUnary<I, O>
  | DescMethodStreaming<I, O>;

function codec<I extends DescMessage, O extends DescMessage>(method: Method<I, O>) {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    write: (message: MessageInitShape<I>) =>
      Buffer.from(toBinary(method.input, create(method.input, message))),
    read: (bytes: Buffer) => fromBinary(method.output, bytes),
  };
}

function about<I extends DescMessage, O extends DescMessage>(method: Method<I, O>) {
  return { service: method.parent, method, header: new Headers(), trailer: new Headers() };
}

function within(timeoutMs: number | undefined): CallOptions {
  return timeoutMs ? { deadline: Date.now() + timeoutMs } : {};
}

/** The codes of Connect are those of gRPC. */
function errorOf(failure: ServiceError): ConnectError {
  const code: number = failure.code;
  return new ConnectError(failure.details || failure.message, code, undefined, undefined, failure);
}
