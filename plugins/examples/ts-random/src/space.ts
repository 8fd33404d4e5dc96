import { type Budget, Chain, type Draws, hardMax, type Problem, refusal } from "@neunets/client/plugin";

export const OPERATORS = "conv batch_norm activation max_pool avg_pool global_pool flatten dropout linear".split(" ");

// Operations a second of a slot, and passes over the data that a run should afford; a training step is worth three.
const [SLOT_FLOPS, PASSES] = [5e10, 3 * 6];

const USUAL = { width: 64, blocks: [1, 2, 2], kernel: 3, activation: "relu", pool: "max_pool", flat: false, drop: 0 };
const SMALLEST = { ...USUAL, width: 2, blocks: [1] };
/** `blocks` of each stage: convolution, batch norm, activation. Stages double the width behind a pool. */
type Design = typeof USUAL;

/** All networks keep to the problem's hard bounds; to the operations that the budget affords where they can. */
export class ChainSpace {
  readonly #most: { params: number; flops: number };
  readonly #stages: number;

  constructor(
    private readonly problem: Problem,
    budget?: Budget,
  ) {
    const { wallS = Infinity, slots = 1 } = budget ?? {};
    const affordable = (wallS * slots * SLOT_FLOPS) / (PASSES * Number(problem.dataset?.trainRows));
    this.#most = { params: hardMax(problem, "params"), flops: hardMax(problem, "flops") };
    const smallest = this.#chain(SMALLEST);
    if (!this.#fits(smallest)) {
      throw refusal("UNSUPPORTED_PROBLEM", `the smallest network has ${smallest.params} parameters: raise max_params`);
    }
    this.#most.flops = Math.min(this.#most.flops, Math.max(affordable, smallest.flops));
    const extent = Math.min(...(problem.input?.shape.slice(0, -1) ?? []));
    this.#stages = 1 + Math.max(0, Math.floor(Math.log2(extent / 3))); // nothing is pooled to less than three
  }

  /** What an experienced designer would try first. */
  standard(): Chain {
    return this.#fit({ ...USUAL, blocks: USUAL.blocks.slice(0, this.#stages) });
  }

  sample(draws: Draws): Chain {
    const stages = draws.integer(Math.min(2, this.#stages), Math.min(4, this.#stages));
    return this.#fit({
      width: draws.choose([16, 24, 32, 48, 64]),
      blocks: Array.from({ length: stages }, () => draws.integer(1, 2)),
      kernel: draws.choose([3, 3, 5]),
      activation: draws.choose(["relu", "silu", "gelu"]),
      pool: draws.choose(["max_pool", "avg_pool"]),
      flat: draws.choose([true, false]),
      drop: draws.choose([0, 0.1, 0.25]),
    });
  }

  /** Narrowed until it fits. */
  #fit(design: Design): Chain {
    for (let width = design.width; width > 1; width *= 0.8) {
      const chain = this.#chain({ ...design, width });
      if (this.#fits(chain)) return chain;
    }
    return this.#chain(SMALLEST);
  }

  #fits({ params, flops }: Chain): boolean {
    return params <= this.#most.params && flops <= this.#most.flops;
  }

  #chain({ width, blocks, kernel, activation, pool, flat, drop }: Design): Chain {
    const chain = new Chain(this.problem);
    blocks.forEach((count, stage) => {
      if (stage > 0) chain.add(pool, { kernel: 2 });
      const channels = Math.round(width * 2 ** stage);
      for (let block = 0; block < count; block++) {
        chain.add("conv", { channels, kernel }).add("batch_norm").add("activation", { function: activation });
      }
    });
    if (flat) chain.add("flatten");
    else chain.add("global_pool", { function: "avg" });
    if (drop) chain.add("dropout", { rate: drop });
    return chain.add("linear", { units: this.problem.dataset?.classes ?? 0 });
  }
}
