import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { Graph, GraphSchema } from "../gen/neunets/graph/v1/graph_pb.js";
import type {
  AssessResponseSchema,
  Budget,
  CandidateSchema,
  Capability,
  Diagnostic,
  EstimateCostResponse,
  Event,
  Problem,
} from "../gen/neunets/synthesizer/v1/synthesizer_pb.js";

/** A search algorithm, for `serve`. */
export interface Synthesizer {
  readonly description: Description;
  /** The initialization contract. It throws `refusal("UNSUPPORTED_PROBLEM", …)` where nothing can be done. */
  open(opening: Opening): Session | Promise<Session>;
}

export interface Description {
  /** Lower case letters, digits, '-'. */
  name: string;
  version: string;
  /** One sentence for people. */
  summary: string;
  tasks: readonly string[];
  /** Operators that it may propose. */
  operators: readonly string[];
  capabilities?: readonly Capability[];
  /** JSON Schema 2020-12 of an object; without it there are no settings. */
  settings?: JsonObject;
  /** At most 64, and the default is 16. */
  maxBatch?: number;
  /** What `propose` and `open` take in 99 of 100 calls; the engine waits three times as long. */
  proposeP99Ms?: number;
  openP99Ms?: number;
}

export interface Opening {
  run: string;
  problem: Problem;
  budget?: Budget;
  /** As given, and the schema's defaults. */
  settings: JsonObject;
  seed: bigint;
  host: Host;
}

/**
 * One run. Its state is a fold over the events that it ingests: after a restart it is opened again and gets all of
 * them. No two methods run at a time. They hold up the health checks of the whole process while they compute: more
 * than a second of it belongs into a worker thread.
 */
export interface Session {
  /** First operation: up to `want` candidates. It may be asked twice for the same, so it changes nothing. */
  propose(want: number, budget: Budget): Outcome | Promise<Outcome>;
  /** Second operation: what happened, in order, each event once. Kinds that this version does not know are left out. */
  ingest(events: readonly Event[]): void | Promise<void>;
  /** Third operation: how the search stands. It changes nothing. `running`: trials that train now. */
  assess(budget: Budget, running: readonly string[]): Assessment | Promise<Assessment>;
  close?(): void;
}

export type CandidateInit = MessageInitShape<typeof CandidateSchema>;
export type GraphInit = MessageInitShape<typeof GraphSchema>;
export type Assessment = MessageInitShape<typeof AssessResponseSchema>;

export type Outcome =
  | { kind: "proposals"; candidates: readonly CandidateInit[] }
  /** Nothing to propose before so many new results, or so much time. */
  | { kind: "wait"; reason: string; minNewResults?: number; afterMs?: number }
  /** Nothing more will be proposed. */
  | { kind: "exhausted"; reason: string };

/** The engine, as it serves plugins. One that has registered nowhere has none to ask: FAILED_PRECONDITION. */
export interface Host {
  /** Parameters, FLOPs and memory, by the engine's own model. */
  estimateCost(graph: GraphInit | Graph): Promise<EstimateCostResponse>;
  /** Of the checks that a proposal passes; none: it would be accepted. */
  validateGraph(run: string, graph: GraphInit | Graph): Promise<Diagnostic[]>;
}
