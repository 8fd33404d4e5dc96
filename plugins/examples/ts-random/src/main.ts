/** Random search over chains: `node dist/main.js`, started by the engine. */
import * as plugin from "@neunets/client/plugin";
import { ChainSpace, OPERATORS } from "./space.js";

const REDRAWS = 100;

/** Candidate k depends on the seed, k and the candidates before it: a replay of the log restores everything. */
class RandomRun implements plugin.Session {
  readonly #seen = new Set<string>();

  constructor(
    private readonly problem: plugin.Problem,
    private readonly seed: bigint,
  ) {
    new ChainSpace(problem); // refuses what cannot be done, at once
  }

  propose(want: number, budget: plugin.Budget): plugin.Outcome {
    const space = new ChainSpace(this.problem, budget);
    const seen = new Set(this.#seen);
    const candidates = [];
    for (let chain = this.#fresh(space, seen); chain && candidates.length < want; chain = this.#fresh(space, seen)) {
      candidates.push({ graph: chain.graph, rationale: "the standard network first, then independent draws" });
      seen.add(chain.key);
    }
    if (candidates.length > 0) return { kind: "proposals", candidates };
    return { kind: "exhausted", reason: `nothing new in ${REDRAWS} draws` };
  }

  ingest(events: readonly plugin.Event[]): void {
    for (const { event } of events) {
      if (event.case !== "proposed") continue;
      for (const { candidate } of event.value.candidates) this.#seen.add(plugin.chainKey(candidate?.graph));
    }
  }

  assess({ trials, trialsLeft = 0, wallS, wallSLeft = 0 }: plugin.Budget): plugin.Assessment {
    const progress = Math.max(trials ? 1 - trialsLeft / trials : 0, wallS ? 1 - wallSLeft / wallS : 0);
    return { verdict: plugin.Verdict.CONTINUE, progress, reason: `${this.#seen.size} networks drawn` };
  }

  #fresh(space: ChainSpace, seen: ReadonlySet<string>): plugin.Chain | undefined {
    if (seen.size === 0) return space.standard();
    for (let redraw = 0; redraw < REDRAWS; redraw++) {
      const chain = space.sample(new plugin.Draws(this.seed, seen.size, redraw));
      if (!seen.has(chain.key)) return chain;
    }
    return undefined;
  }
}

await plugin.serve({
  description: {
    name: "ts-random",
    version: "0.1.0",
    summary: "Random search over chains of convolution blocks, in TypeScript.",
    tasks: ["image-classification", "sequence-classification"],
    operators: OPERATORS,
    capabilities: [plugin.Capability.DETERMINISTIC],
  },
  open: ({ problem, seed }) => new RandomRun(problem, seed),
});
