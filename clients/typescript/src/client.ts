import { randomUUID } from "node:crypto";
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { ChannelCredentials } from "@grpc/grpc-js";
import { Channel } from "./channel.js";
import { download } from "./download.js";
import { NeunetsError } from "./errors.js";
import {
  type Dataset,
  Datasets,
  type Model,
  Models,
  type ReadProgress,
  type RegisterDatasetRequestSchema,
  type Run,
  type RunEvent,
  type RunSpecSchema,
  RunState,
  Runs,
  StopRunRequest_Mode,
} from "./gen/neunets/service/v1/service_pb.js";
import { BackOff, retried } from "./retry.js";

const CALL_DEADLINE_MS = 10_000;
/** Of what works on data: reading them, fetching files. */
const LONG_DEADLINE_MS = 3_600_000;
/** The engine tells something at least every 15 s. */
const SILENCE_MS = 45_000;
const PATIENCE_MS = 60_000;
/** Nothing more happens to such a run by itself; a PAUSED one can be resumed. */
const RESTING: ReadonlySet<RunState> = new Set([
  RunState.COMPLETED,
  RunState.STOPPED,
  RunState.FAILED,
  RunState.PAUSED,
]);

export interface ConnectOptions {
  /** Default: none, for an engine on this machine. */
  credentials?: ChannelCredentials;
  /** How long an engine that does not answer is waited for. Default: a minute. */
  patienceMs?: number;
}

export interface CallOptions {
  signal?: AbortSignal;
}

/** Target: "127.0.0.1:7390", "unix:/path/to/engine.sock". Nothing is sent before the first call. */
export function connect(target: string, options: ConnectOptions = {}): Client {
  return new Client(new Channel(target, options.credentials), options.patienceMs ?? PATIENCE_MS);
}

/** Every method throws `NeunetsError`, or the reason of an aborted `signal`. Numbers of 64 bits are bigints. */
export class Client {
  constructor(
    private readonly channel: Channel,
    private readonly patienceMs: number,
  ) {}

  close(): void {
    this.channel.close();
  }

  /** Have the engine read data; the same content gives the same data set. `tell`: at least once a second. */
  async register(
    source: string,
    options: Omit<MessageInitShape<typeof RegisterDatasetRequestSchema>, "source" | "$typeName"> & {
      tell?: (progress: ReadProgress) => void;
    } & CallOptions = {},
  ): Promise<Dataset> {
    const { tell, signal, ...request } = options;
    const read = async (deadlineMs: number) => {
      const limits = { deadlineMs, silenceMs: SILENCE_MS, signal };
      for await (const { state } of this.channel.stream(Datasets.method.register, { ...request, source }, limits)) {
        if (state.case === "dataset") return state.value;
        if (state.case === "progress") tell?.(state.value);
      }
      throw new NeunetsError("DATA_LOSS", "the engine ended without a data set");
    };
    return retried(read, LONG_DEADLINE_MS, this.backOff(signal));
  }

  /** A run; the same `requestId` gives the same run, however often it is asked for. */
  async start(
    spec: MessageInitShape<typeof RunSpecSchema>,
    { requestId = randomUUID(), signal }: { requestId?: string } & CallOptions = {},
  ): Promise<Run> {
    return this.call(Runs.method.create, { requestId, spec }, { signal });
  }

  async get(run: string, options: CallOptions = {}): Promise<Run> {
    return this.call(Runs.method.get, { name: run }, options);
  }

  /** FINISH: take the best so far, and export it; ABORT: end at once. */
  async stop(run: string, mode: "FINISH" | "ABORT" = "FINISH", options: CallOptions = {}): Promise<Run> {
    return this.call(Runs.method.stop, { name: run, mode: StopRunRequest_Mode[mode] }, options);
  }

  /** Every event with a `seq` above `after`, without gap or repeat, until the run rests; over the loss of an engine. */
  async *watch(
    run: string,
    { after = 0n, signal }: { after?: bigint } & CallOptions = {},
  ): AsyncGenerator<RunEvent, void, undefined> {
    const backOff = this.backOff(signal);
    for (let seq = after; ; ) {
      let isOver = false;
      try {
        const request = { name: run, afterSeq: seq };
        for await (const { event } of this.channel.stream(Runs.method.watch, request, {
          silenceMs: SILENCE_MS,
          signal,
        })) {
          backOff.reset();
          if (event === undefined || event.seq <= seq) continue;
          seq = event.seq;
          yield event;
        }
        isOver = true;
      } catch (error) {
        await backOff.after(error);
      }
      if (isOver && RESTING.has((await this.get(run, { signal })).state)) return;
    }
  }

  /** The run once it is COMPLETED, STOPPED, FAILED or PAUSED: `reason` says why. */
  async wait(run: string, { signal }: CallOptions = {}): Promise<Run> {
    const { seq } = await this.get(run, { signal });
    for await (const _ of this.watch(run, { after: seq, signal })) {
      // only the end matters
    }
    return this.get(run, { signal });
  }

  /** The networks that the run trained or trains, oldest first. */
  async *models(run: string, options: CallOptions = {}): AsyncGenerator<Model, void, undefined> {
    for (let pageToken = ""; ; ) {
      const page = await this.call(Models.method.list, { parent: run, pageToken }, options);
      yield* page.models;
      pageToken = page.nextPageToken;
      if (pageToken === "") return;
    }
  }

  /** All files of an exported model; their paths in `folder`. What an interrupted download has left there is used. */
  async download(model: string, folder: string, { signal }: CallOptions = {}): Promise<string[]> {
    const exported = await this.call(Models.method.export, { name: model }, { signal });
    const source = (file: string, offset: bigint) =>
      this.channel.stream(
        Models.method.download,
        { name: model, file, offset },
        { deadlineMs: LONG_DEADLINE_MS, silenceMs: SILENCE_MS, signal },
      );
    const paths = [];
    for (const artifact of exported.model?.artifacts ?? []) {
      paths.push(await download(artifact, folder, source, this.backOff(signal)));
    }
    return paths;
  }

  /** Any other call of the service, with retries: only for what may be repeated. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { deadlineMs = CALL_DEADLINE_MS, signal }: { deadlineMs?: number } & CallOptions = {},
  ): Promise<MessageShape<O>> {
    const attempt = (limitMs: number) => this.channel.unary(method, request, { deadlineMs: limitMs, signal });
    return retried(attempt, deadlineMs, this.backOff(signal));
  }

  /** Any other stream of the service, without retries. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    { deadlineMs = LONG_DEADLINE_MS, signal }: { deadlineMs?: number } & CallOptions = {},
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    return this.channel.stream(method, request, { deadlineMs, silenceMs: deadlineMs, signal });
  }

  private backOff(signal?: AbortSignal): BackOff {
    return new BackOff(this.patienceMs, signal);
  }
}
