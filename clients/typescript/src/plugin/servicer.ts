import { create } from "@bufbuild/protobuf";
import type { Server, UntypedServiceImplementation } from "@grpc/grpc-js";
import { serialize } from "../channel.js";
import {
  type AssessRequest,
  type Budget,
  BudgetSchema,
  type Call,
  type CloseRequest,
  CloseResponseSchema,
  type IngestRequest,
  IngestResponseSchema,
  type OpenRequest,
  type OpenResponse,
  OpenResponseSchema,
  type ProposeRequest,
  type ProposeResponse,
  ProposeResponseSchema,
  Synthesizer as Service,
} from "../gen/neunets/synthesizer/v1/synthesizer_pb.js";
import { answered } from "./answered.js";
import type { Host, Session, Synthesizer } from "./api.js";
import { badField, refusal } from "./refusals.js";
import {
  assessmentToProto,
  checkedProblem,
  checkedSettings,
  descriptionToProto,
  MAX_BATCH,
  MAX_OPEN_RUNS,
  outcomeToProto,
  settingsDiagnostics,
} from "./wire.js";

const LARGEST_WANT = 64;
const MOST_EVENTS = 500;
const LARGEST_MESSAGE = 1 << 20;

/** One run; whoever works in its session has taken `isBusy`. */
class OpenRun {
  appliedSeq = 0n;
  isBusy = false;
  answered: { requestId: string; want: number; seq: bigint; answer: ProposeResponse } | undefined;

  constructor(
    readonly session: Session,
    readonly epoch: bigint,
  ) {}
}

/** The contract in front of a `Synthesizer`: epochs, sequence numbers, repeated requests, one call of a run at a time. */
export class Servicer {
  isDraining = false;
  readonly #runs = new Map<string, OpenRun>();

  constructor(
    private readonly synthesizer: Synthesizer,
    private readonly host: Host,
  ) {}

  get openRuns(): number {
    return this.#runs.size;
  }

  addTo(server: Server): void {
    const { describe, open, propose, ingest, assess, close } = Service.method;
    const unary = [
      answered(describe, () => descriptionToProto(this.synthesizer.description)),
      answered(open, (request) => this.#open(request)),
      answered(propose, (request) => this.#propose(request)),
      answered(ingest, (request) => this.#ingest(request)),
      answered(assess, (request) => this.#assess(request)),
      answered(close, (request) => this.#close(request)),
    ];
    // Snapshot is absent: the replay of a run's events is cheap, and gRPC itself answers UNIMPLEMENTED.
    server.addService(
      Object.fromEntries(unary.map(({ name, definition }) => [name, definition])),
      Object.fromEntries(unary.map(({ name, handle }) => [name, handle])) as UntypedServiceImplementation,
    );
  }

  async #open(request: OpenRequest): Promise<OpenResponse> {
    const { description } = this.synthesizer;
    const call = named(request.call);
    const problem = checkedProblem(request.problem, description.tasks);
    const settings = checkedSettings(request, description.settings);
    if (!request.validateOnly) this.#checkOpening(call);
    const { budget, seed } = request;
    const session = await this.synthesizer.open({ run: call.run, problem, budget, settings, seed, host: this.host });
    if (request.validateOnly) {
      session.close?.();
    } else {
      this.#checkOpening(call); // a newer epoch may have come meanwhile
      this.#runs.get(call.run)?.session.close?.();
      this.#runs.set(call.run, new OpenRun(session, call.epoch));
    }
    const diagnostics = settingsDiagnostics(request, description.settings);
    return create(OpenResponseSchema, { appliedSeq: 0n, effectiveSettings: settings, diagnostics });
  }

  #checkOpening(call: Call): void {
    const before = this.#runs.get(call.run);
    if (before !== undefined) checkEpoch(call, before);
    else if (this.isDraining) throw refusal("NOT_READY", "this plugin takes no more runs");
    else if (this.#runs.size >= MAX_OPEN_RUNS) throw refusal("BUSY", `${MAX_OPEN_RUNS} runs are open`);
  }

  async #propose({ call, want, budget }: ProposeRequest): Promise<ProposeResponse> {
    const run = this.#run(call);
    const requestId = call?.requestId;
    if (!requestId) throw badField("call.request_id", "unset");
    if (want < 1 || want > LARGEST_WANT) throw badField("want", `${want} is not within 1..${LARGEST_WANT}`);
    checkSeq(call, run);
    return alone(run, async () => {
      const before = run.answered;
      if (before?.requestId === requestId && before.seq === run.appliedSeq) {
        if (before.want === want) return before.answer;
        throw refusal("REQUEST_ID_REUSED", `${requestId} wanted ${before.want} candidates before, not ${want}`);
      }
      const most = Math.min(want, this.synthesizer.description.maxBatch ?? MAX_BATCH);
      const outcome = await run.session.propose(most, slotted(budget));
      const answer = outcomeToProto(outcome, run.appliedSeq);
      if (answer.outcome.case === "proposals") fit(answer, answer.outcome.value.candidates, most);
      if (outcome.kind !== "wait") run.answered = { requestId, want, seq: run.appliedSeq, answer };
      return answer;
    });
  }

  async #ingest({ call, events }: IngestRequest) {
    const run = this.#run(call);
    if (events.length > MOST_EVENTS) throw badField("events", `${events.length}, at most ${MOST_EVENTS}`);
    return alone(run, async () => {
      const fresh = events.filter(({ seq }) => seq > run.appliedSeq);
      fresh.forEach(({ seq }, index) => {
        const due = run.appliedSeq + BigInt(index) + 1n;
        if (seq !== due) throw gap(run, `event ${due} is missing before event ${seq}`);
      });
      const known = fresh.filter(({ event }) => event.case !== undefined);
      try {
        if (known.length) await run.session.ingest(known);
      } catch (error) {
        this.#forget(named(call).run, run); // half of a batch may be in its state: only a replay helps
        throw error;
      }
      run.appliedSeq += BigInt(fresh.length);
      return create(IngestResponseSchema, { appliedSeq: run.appliedSeq });
    });
  }

  async #assess({ call, budget, runningTrials }: AssessRequest) {
    const run = this.#run(call);
    checkSeq(call, run);
    return alone(run, async () => assessmentToProto(await run.session.assess(slotted(budget), runningTrials)));
  }

  #close({ call }: CloseRequest) {
    const { run: name, epoch } = named(call);
    const run = this.#runs.get(name);
    if (run !== undefined && epoch >= run.epoch) this.#forget(name, run);
    return create(CloseResponseSchema);
  }

  #forget(name: string, run: OpenRun): void {
    if (this.#runs.get(name) === run) this.#runs.delete(name);
    run.session.close?.();
  }

  #run(given: Call | undefined): OpenRun {
    const call = named(given);
    const run = this.#runs.get(call.run);
    if (run === undefined) throw refusal("RUN_NOT_OPEN", `${call.run} is not open here: open it and replay its events`);
    checkEpoch(call, run);
    if (call.epoch > run.epoch) {
      throw refusal("RUN_NOT_OPEN", `${call.run} was opened by epoch ${run.epoch}: open it again`);
    }
    return run;
  }
}

/** Refused while another call of the run is at it, even where that one's caller has given up. */
async function alone<T>(run: OpenRun, work: () => Promise<T>): Promise<T> {
  if (run.isBusy) throw refusal("IN_FLIGHT", "another call of this run is in flight");
  run.isBusy = true;
  try {
    return await work();
  } finally {
    run.isBusy = false;
  }
}

function named(call: Call | undefined): Call {
  if (!call?.run) throw badField("call.run", "unset");
  return call;
}

function checkEpoch(call: Call, run: OpenRun): void {
  if (call.epoch < run.epoch) {
    const metadata = { epoch: String(run.epoch) };
    throw refusal("STALE_EPOCH", `epoch ${run.epoch} has the run`, { metadata });
  }
}

function checkSeq(call: Call | undefined, run: OpenRun): void {
  if (call?.logSeq !== run.appliedSeq) {
    throw gap(run, `the log stands at ${call?.logSeq}, events up to ${run.appliedSeq} came`);
  }
}

function gap(run: OpenRun, message: string) {
  return refusal("SEQ_GAP", message, { metadata: { applied_seq: String(run.appliedSeq) } });
}

function slotted(budget: Budget | undefined): Budget {
  const given = budget ?? create(BudgetSchema);
  return { ...given, slots: Math.max(1, given.slots) };
}

/** Fewer candidates are fine: as many as were wanted, and as a message holds. */
function fit(answer: ProposeResponse, candidates: unknown[], most: number): void {
  candidates.splice(most);
  while (candidates.length > 1 && serialize(ProposeResponseSchema, answer).length > LARGEST_MESSAGE) candidates.pop();
}
