import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type ChannelCredentials,
  type ChannelOptions,
  credentials,
  Client as GrpcClient,
  Metadata,
} from "@grpc/grpc-js";
import { NeunetsError, toldBy } from "./errors.js";

// The layer above retries by the contract's table; the channel only has to be there again soon.
const OPTIONS = {
  "grpc.enable_retries": 0,
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 2_000,
};

export interface Limits {
  deadlineMs: number;
  signal?: AbortSignal;
}

export interface StreamLimits {
  /** Of the whole stream; undefined: it may go on for ever, as long as it is not silent. */
  deadlineMs?: number;
  /** Without a message for so long it counts as lost. */
  silenceMs: number;
  signal?: AbortSignal;
}

/** Whether a target is on this machine, where no proxy of the environment leads. */
export function isLocal(target: string): boolean {
  if (/^unix(-abstract)?:/.test(target)) return true;
  const host = target.replace(/^(dns|ipv4|ipv6):(\/\/\/)?/, "").replace(/:\d+$/, "");
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/.test(host);
}

/** One try of a call each: messages to bytes, statuses to errors. */
export class Channel {
  readonly #client: GrpcClient;

  constructor(target: string, secure: ChannelCredentials = credentials.createInsecure(), options: ChannelOptions = {}) {
    const proxies: ChannelOptions = isLocal(target) ? { "grpc.enable_http_proxy": 0 } : {};
    this.#client = new GrpcClient(target, secure, { ...OPTIONS, ...proxies, ...options });
  }

  close(): void {
    this.#client.close();
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { deadlineMs, signal }: Limits,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => call.cancel();
      const call = this.#client.makeUnaryRequest(
        pathOf(method),
        (message: MessageShape<I>) => serialize(method.input, message),
        (bytes) => fromBinary(method.output, bytes),
        create(method.input, request),
        new Metadata(),
        { deadline: Date.now() + deadlineMs },
        (error, response) => {
          signal?.removeEventListener("abort", abort);
          if (response !== undefined) resolve(response);
          else reject(signal?.aborted ? signal.reason : toldBy(error));
        },
      );
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    { deadlineMs, silenceMs, signal }: StreamLimits,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    signal?.throwIfAborted();
    const call = this.#client.makeServerStreamRequest(
      pathOf(method),
      (message: MessageShape<I>) => serialize(method.input, message),
      (bytes) => fromBinary(method.output, bytes),
      create(method.input, request),
      new Metadata(),
      deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
    );
    call.on("error", () => {}); // of a stream that nobody reads any more
    let isSilent = false;
    const abort = () => call.cancel();
    const listen = () =>
      setTimeout(() => {
        isSilent = true;
        call.cancel();
      }, silenceMs);
    signal?.addEventListener("abort", abort, { once: true });
    let timer = listen();
    try {
      for await (const message of call) {
        clearTimeout(timer); // what the reader does with it is no silence
        yield message as MessageShape<O>;
        timer = listen();
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (isSilent) throw new NeunetsError("UNAVAILABLE", `no word for ${silenceMs / 1000} s`, { cause: error });
      throw toldBy(error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      call.cancel();
    }
  }
}

export function pathOf(method: { parent: { typeName: string }; name: string }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

export function serialize<D extends DescMessage>(schema: D, message: MessageShape<D>): Buffer {
  const bytes = toBinary(schema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
