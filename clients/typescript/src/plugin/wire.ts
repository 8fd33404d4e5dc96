import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Input } from "../gen/neunets/graph/v1/graph_pb.js";
import {
  type AssessResponse,
  AssessResponse_Verdict,
  AssessResponseSchema,
  type DescribeResponse,
  DescribeResponseSchema,
  type Diagnostic,
  Diagnostic_Severity,
  DiagnosticSchema,
  type OpenRequest,
  type Problem,
  type ProposeResponse,
  ProposeResponseSchema,
} from "../gen/neunets/synthesizer/v1/synthesizer_pb.js";
import type { Assessment, Description, Outcome } from "./api.js";
import { badField, refusal } from "./refusals.js";

export const MAX_BATCH = 16;
export const MAX_OPEN_RUNS = 1024;
const NO_SETTINGS: JsonObject = { type: "object", additionalProperties: false };

export function descriptionToProto(description: Description): DescribeResponse {
  return create(DescribeResponseSchema, {
    name: description.name,
    version: description.version,
    summary: description.summary,
    capabilities: [...(description.capabilities ?? [])],
    settingsSchemaJson: JSON.stringify(description.settings ?? NO_SETTINGS),
    tasks: [...description.tasks],
    graphOps: [...description.operators],
    maxOpenRuns: MAX_OPEN_RUNS,
    maxBatch: description.maxBatch ?? MAX_BATCH,
    proposeP99: durationFromMs(description.proposeP99Ms ?? 1_000),
    openP99: durationFromMs(description.openP99Ms ?? 5_000),
    ready: true,
  });
}

/** Throws where a field is missing, or the problem is none for this plugin. */
export function checkedProblem(problem: Problem | undefined, tasks: readonly string[]): Problem {
  if (problem === undefined) throw badField("problem", "unset");
  if (!problem.task) throw badField("problem.task", "unset");
  if (!tasks.includes(problem.task)) {
    throw refusal("UNSUPPORTED_PROBLEM", `${problem.task} is none of ${tasks.join(", ")}`);
  }
  checkInput(problem.input);
  if (problem.dataset === undefined) throw badField("problem.dataset", "unset");
  if (problem.dataset.classes < 2) throw badField("problem.dataset.classes", "at least 2");
  return problem;
}

function checkInput(input: Input | undefined): void {
  if (input === undefined) throw badField("problem.input", "unset");
  const { name, shape, mean, std } = input;
  if (!name) throw badField("problem.input.name", "unset");
  if (shape.length < 2 || shape.length > 3 || Math.min(...shape) < 1) {
    throw badField("problem.input.shape", `[${shape}] is neither (H, W, C) nor (L, C)`);
  }
  const channels = shape.at(-1);
  if (mean.length !== channels) throw badField("problem.input.mean", `${mean.length} numbers for ${channels} channels`);
  if (std.length !== channels || !std.every((value) => value > 0)) {
    throw badField("problem.input.std", `${channels} numbers above zero are needed`);
  }
}

/** The settings with the schema's defaults. The engine checks values against the schema; here, that each is there. */
export function checkedSettings({ settings: given = {} }: OpenRequest, schema: JsonObject = NO_SETTINGS): JsonObject {
  const properties = propertiesOf(schema);
  const [unknown] = unknownSettings(given, schema);
  if (unknown !== undefined && schema.additionalProperties === false) {
    const known = Object.keys(properties).join(", ") || "none";
    throw badField(`settings.${unknown}`, `there is no such setting; known: ${known}`);
  }
  const missing = ((schema.required ?? []) as string[]).find((name) => !(name in given));
  if (missing !== undefined) throw badField(`settings.${missing}`, "unset");
  const usual = Object.entries(properties).filter(([, rule]) => rule.default !== undefined);
  return { ...Object.fromEntries(usual.map(([name, rule]) => [name, rule.default])), ...given } as JsonObject;
}

/** Warnings of settings that the schema neither knows nor forbids. */
export function settingsDiagnostics({ settings = {} }: OpenRequest, schema: JsonObject = NO_SETTINGS): Diagnostic[] {
  const severity = Diagnostic_Severity.WARNING;
  return unknownSettings(settings, schema).map((name) =>
    create(DiagnosticSchema, {
      severity,
      code: "UNKNOWN_SETTING",
      path: `settings.${name}`,
      summary: "it has no effect",
    }),
  );
}

function unknownSettings(given: JsonObject, schema: JsonObject): string[] {
  if (schema.additionalProperties || schema.patternProperties) return [];
  return Object.keys(given).filter((name) => !(name in propertiesOf(schema)));
}

function propertiesOf(schema: JsonObject): Record<string, JsonObject> {
  return (schema.properties ?? {}) as Record<string, JsonObject>;
}

export function outcomeToProto(outcome: Outcome, basedOnSeq: bigint): ProposeResponse {
  return create(ProposeResponseSchema, { basedOnSeq, outcome: outcomeInit(outcome) });
}

function outcomeInit(outcome: Outcome): MessageInitShape<typeof ProposeResponseSchema>["outcome"] {
  switch (outcome.kind) {
    case "proposals":
      return { case: "proposals", value: { candidates: [...outcome.candidates] } };
    case "wait": {
      const { minNewResults = 1, afterMs = 1_000, reason } = outcome;
      return { case: "wait", value: { minNewResults, after: durationFromMs(afterMs), reason } };
    }
    case "exhausted":
      return { case: "exhausted", value: { reason: outcome.reason } };
  }
}

export function assessmentToProto(assessment: Assessment): AssessResponse {
  const message = create(AssessResponseSchema, assessment);
  message.verdict ||= AssessResponse_Verdict.CONTINUE;
  if (message.progress !== undefined) {
    message.progress = Number.isNaN(message.progress) ? undefined : Math.min(1, Math.max(0, message.progress));
  }
  return message;
}
