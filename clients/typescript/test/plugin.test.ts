/** The plugin layer's own arithmetic; the contract itself is tested by the conformance kit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { graph, synthesizer } from "../src/index.js";
import { badField, Chain, chainKey, Draws, hardMax } from "../src/plugin/index.js";
import { statusOf } from "../src/plugin/refusals.js";

const problem = create(synthesizer.ProblemSchema, {
  input: { name: "image", shape: [9, 8, 3] },
  constraints: [
    { metric: "params", max: 700, hard: true },
    { metric: "params", max: 500, hard: true },
    { metric: "flops", max: 10, hard: false },
  ],
});

test("a chain costs what the engine says", () => {
  const chain = new Chain(problem)
    .add("conv", { channels: 4, kernel: 3 })
    .add("batch_norm")
    .add("max_pool", { kernel: 2 })
    .add("separable_conv", { channels: 5, kernel: 3 })
    .add("activation", { function: "relu" })
    .add("flatten")
    .add("dropout", { rate: 0.1 })
    .add("linear", { units: 2 });
  assert.deepEqual([chain.params, chain.flops], [334, 19154]);
});

test("chains are told apart by what they compute, not by the names of their nodes", () => {
  const chain = new Chain(problem).add("flatten").add("linear", { units: 2 });
  const other = new Chain(problem).add("flatten").add("linear", { units: 3 });
  const renamed = create(graph.GraphSchema, chain.graph);
  for (const node of renamed.nodes) node.name += "-renamed";
  assert.equal(chainKey(renamed), chain.key);
  assert.notEqual(chain.key, other.key);
});

test("only hard bounds bind, and the tightest one counts", () => {
  assert.deepEqual([hardMax(problem, "params"), hardMax(problem, "flops")], [500, Number.POSITIVE_INFINITY]);
});

test("draws depend on the seed and the path alone, and cover their range", () => {
  const drawn = (seed: bigint, path: number) => {
    const draws = new Draws(seed, path);
    return Array.from({ length: 100 }, () => draws.integer(1, 6));
  };
  assert.deepEqual(drawn(1n, 2), drawn(1n, 2));
  assert.notDeepEqual(drawn(1n, 2), drawn(1n, 3));
  assert.notDeepEqual(drawn(2n ** 63n, 2), drawn(2n ** 63n + 1n, 2));
  assert.deepEqual([...new Set(drawn(1n, 2))].sort(), [1, 2, 3, 4, 5, 6]);
});

test("a refusal fits into the 8 KiB of trailers that gRPC takes", () => {
  const { details, metadata } = statusOf(badField("é".repeat(5_000), "é".repeat(50_000)));
  assert.ok(Buffer.byteLength(details ?? "") <= 1024);
  assert.ok((metadata?.get("grpc-status-details-bin")[0]?.length ?? 0) < 4096);
});
