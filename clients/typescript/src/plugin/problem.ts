import type { Problem } from "../gen/neunets/synthesizer/v1/synthesizer_pb.js";

/** The hard upper bound of "params" or "flops"; Infinity where there is none. */
export function hardMax(problem: Problem, metric: string): number {
  const bounds = problem.constraints.filter((bound) => bound.hard && bound.metric === metric);
  return Math.min(...bounds.map(({ max }) => max ?? Number.POSITIVE_INFINITY));
}
