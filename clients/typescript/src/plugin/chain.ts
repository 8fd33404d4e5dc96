import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AttributeSchema, Graph, Input, NodeSchema } from "../gen/neunets/graph/v1/graph_pb.js";
import type { Problem } from "../gen/neunets/synthesizer/v1/synthesizer_pb.js";
import type { GraphInit } from "./api.js";
import { badField } from "./refusals.js";

export type Attributes = Readonly<Record<string, number | boolean | string>>;

interface Layer {
  /** Channels first. */
  shape: readonly number[];
  params: number;
  flops: number;
}

type Rule = (attributes: Attributes, shape: readonly number[]) => Layer;

const product = (numbers: readonly number[]) => numbers.reduce((total, number) => total * number, 1);
const int = (attributes: Attributes, name: string) => Number(attributes[name]);

/** As the engine counts them; see `Host.estimateCost` for graphs that are no chains. */
const RULES: Readonly<Record<string, Rule>> = {
  conv: (attributes, [inputs = 0, ...sizes]) => {
    const weights = inputs * int(attributes, "kernel") ** sizes.length * int(attributes, "channels");
    return layer([int(attributes, "channels"), ...sizes], weights, 2 * weights * product(sizes));
  },
  separable_conv: (attributes, [inputs = 0, ...sizes]) => {
    const weights = inputs * (int(attributes, "kernel") ** sizes.length + int(attributes, "channels"));
    return layer([int(attributes, "channels"), ...sizes], weights, 2 * weights * product(sizes));
  },
  batch_norm: (_, shape) => layer(shape, 2 * (shape[0] ?? 0), 4 * product(shape)),
  activation: (_, shape) => layer(shape, 0, product(shape)),
  max_pool: pooled,
  avg_pool: pooled,
  global_pool: (_, shape) => layer(shape.slice(0, 1), 0, product(shape)),
  flatten: (_, shape) => layer([product(shape)], 0, 0),
  dropout: (_, shape) => layer(shape, 0, 0),
  linear: (attributes, [inputs = 0]) => {
    const units = int(attributes, "units");
    return layer([units], units * (inputs + 1), units * (2 * inputs + 1));
  },
};

/** A network of one layer behind the other, and what it costs: parameters, and FLOPs of one example. */
export class Chain {
  params = 0;
  flops = 0;
  readonly #input: Input;
  #shape: readonly number[];
  readonly #nodes: (MessageInitShape<typeof NodeSchema> & { name: string })[] = [];

  constructor({ input }: Problem) {
    if (input === undefined) throw badField("problem.input", "unset");
    this.#input = input;
    this.#shape = [...input.shape.slice(-1), ...input.shape.slice(0, -1)];
  }

  /** The last layer's values are the logits. */
  get graph(): GraphInit {
    return { input: this.#input, nodes: this.#nodes, output: this.#nodes.at(-1)?.name ?? "" };
  }

  /** See `chainKey`. */
  get key(): string {
    return chainKey(this.graph);
  }

  /** `attributes`: as the operator's table has them; windows have a stride of 1 (convolutions) or their kernel (pools). */
  add(op: string, attributes: Attributes = {}): this {
    const rule = RULES[op];
    if (rule === undefined) throw new RangeError(`${op} is no operator of chains: ${Object.keys(RULES).join(", ")}`);
    const { shape, params, flops } = rule(attributes, this.#shape);
    this.#shape = shape;
    this.params += params;
    this.flops += flops;
    const values = Object.entries(attributes).map(([key, value]) => [key, { value: attribute(value) }]);
    const source = this.#nodes.at(-1)?.name ?? this.#input.name;
    const name = `layer${this.#nodes.length + 1}/${op}`;
    this.#nodes.push({ name, op, inputs: [source], attributes: Object.fromEntries(values) });
    return this;
  }
}

/** The same text for the same chain, whatever its nodes are called. */
export function chainKey(graph: Graph | GraphInit | undefined): string {
  const layers = (graph?.nodes ?? []).map(({ op, attributes }) => {
    const values = Object.entries(attributes ?? {}).map(([name, { value }]) => `${name}=${value?.value}`);
    return `${op}(${values.sort().join(",")})`;
  });
  return layers.join(" ");
}

function pooled(attributes: Attributes, [channels = 0, ...sizes]: readonly number[]): Layer {
  const kernel = int(attributes, "kernel");
  const shape = [channels, ...sizes.map((size) => Math.floor(size / kernel))];
  return layer(shape, 0, kernel ** sizes.length * product(shape));
}

function layer(shape: readonly number[], params: number, flops: number): Layer {
  return { shape, params, flops };
}

function attribute(value: number | boolean | string): MessageInitShape<typeof AttributeSchema>["value"] {
  if (typeof value === "string") return { case: "text", value };
  if (typeof value === "boolean") return { case: "bool", value };
  return Number.isInteger(value) ? { case: "int", value: BigInt(value) } : { case: "float", value };
}
