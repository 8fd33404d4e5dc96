export { NeunetsError } from "../errors.js";
export {
  AssessResponse_Verdict as Verdict,
  type Budget,
  Capability,
  type Event,
  type Problem,
  TrialEnded_State as TrialState,
} from "../gen/neunets/synthesizer/v1/synthesizer_pb.js";
export type {
  Assessment,
  CandidateInit,
  Description,
  GraphInit,
  Host,
  Opening,
  Outcome,
  Session,
  Synthesizer,
} from "./api.js";
export { type Attributes, Chain, chainKey } from "./chain.js";
export { Draws } from "./draws.js";
export { hardMax } from "./problem.js";
export { badField, type Reason, refusal } from "./refusals.js";
export { serve } from "./serve.js";
