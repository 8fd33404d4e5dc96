import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

/** Of the ErrorInfo that says a reason of the contract. */
export const DOMAIN = "synthesizer.neunets";
export const DETAILS_KEY = "grpc-status-details-bin";

/** "NOT_FOUND", "UNAVAILABLE", …: a gRPC code by its name. */
export type Code = keyof typeof status;

export interface FieldViolation {
  /** Path of the field, as in the .proto: "spec.trials". */
  field: string;
  description: string;
}

export interface ErrorDetails {
  reason?: string;
  metadata?: Readonly<Record<string, string>>;
  violations?: readonly FieldViolation[];
  retryAfterMs?: number;
  cause?: unknown;
}

/** What the other side refused, or that it is not there. */
export class NeunetsError extends Error {
  override readonly name = "NeunetsError";
  /** Of the contract: "BAD_FIELD", "RUN_NOT_OPEN", …; empty: the transport's own. */
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  /** How long the other side asks to be left alone. */
  readonly retryAfterMs: number;

  constructor(
    readonly code: Code,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message, { cause: details.cause });
    this.reason = details.reason ?? "";
    this.metadata = details.metadata ?? {};
    this.violations = details.violations ?? [];
    this.retryAfterMs = details.retryAfterMs ?? 0;
  }

  /** Path of the first bad field; undefined where none is named. */
  get field(): string | undefined {
    return this.violations[0]?.field;
  }

  /** Nobody answers, or not yet: worth another try. A server that stops cancels what it has not answered. */
  get isUnavailable(): boolean {
    return this.code === "UNAVAILABLE" || (this.code === "CANCELLED" && this.reason === "");
  }
}

/** What a call failed with. Anything but a status comes back as it is. */
export function toldBy(error: unknown): unknown {
  if (!isServiceError(error)) return error;
  const told = detailsOf(error);
  const code = isBroken(error, told) ? "UNAVAILABLE" : ((status[error.code] ?? "UNKNOWN") as Code);
  return new NeunetsError(code, error.details || code, { ...told, cause: error });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "metadata" in error;
}

/** grpc-js calls it INTERNAL where a connection breaks off in the middle of a frame. */
function isBroken(error: ServiceError, { reason }: ErrorDetails): boolean {
  return error.code === status.INTERNAL && reason === undefined && error.details.startsWith("Received RST_STREAM");
}

function detailsOf(error: ServiceError): ErrorDetails {
  const raw = error.metadata?.get(DETAILS_KEY)[0];
  if (!Buffer.isBuffer(raw)) return {};
  let found: ErrorDetails = {};
  try {
    for (const detail of fromBinary(StatusSchema, raw).details) {
      const info = anyUnpack(detail, ErrorInfoSchema);
      if (info?.domain === DOMAIN) found = { ...found, reason: info.reason, metadata: info.metadata };
      const bad = anyUnpack(detail, BadRequestSchema);
      if (bad) found = { ...found, violations: bad.fieldViolations };
      const delay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
      if (delay) found = { ...found, retryAfterMs: durationMs(delay) };
    }
  } catch {
    return {}; // not ours
  }
  return found;
}
