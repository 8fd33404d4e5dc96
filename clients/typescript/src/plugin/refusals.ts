import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { serialize } from "../channel.js";
import { type Code, DETAILS_KEY, DOMAIN, type ErrorDetails, NeunetsError } from "../errors.js";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../gen/google/rpc/status_pb.js";

/** The contract's reasons and their codes. */
const CODES = {
  BAD_FIELD: "INVALID_ARGUMENT",
  UNSUPPORTED_PROBLEM: "FAILED_PRECONDITION",
  RUN_NOT_OPEN: "FAILED_PRECONDITION",
  STALE_EPOCH: "ABORTED",
  IN_FLIGHT: "ABORTED",
  SEQ_GAP: "OUT_OF_RANGE",
  REQUEST_ID_REUSED: "ALREADY_EXISTS",
  BAD_CHECKPOINT: "DATA_LOSS",
  BUSY: "RESOURCE_EXHAUSTED",
  NOT_READY: "UNAVAILABLE",
  INTERNAL: "INTERNAL",
} as const satisfies Record<string, Code>;

export type Reason = keyof typeof CODES;

// gRPC drops answers whose trailers pass 8 KiB, and the message is in there twice, once percent-encoded.
const LONGEST_MESSAGE = 1024;
const LONGEST_VALUE = 256;

/** The error with which a plugin refuses a call, to be thrown. */
export function refusal(reason: Reason, message: string, details: Omit<ErrorDetails, "reason"> = {}): NeunetsError {
  return new NeunetsError(CODES[reason], message, { ...details, reason });
}

/** `field`: its path in the request, as in the .proto. */
export function badField(field: string, description: string): NeunetsError {
  const details = { metadata: { field }, violations: [{ field, description }] };
  return refusal("BAD_FIELD", `${field}: ${description}`, details);
}

/** What a call is answered with where user code or a check threw `thrown`; what nobody named is logged. */
export function statusOf(thrown: unknown): Partial<StatusObject> {
  if (!(thrown instanceof NeunetsError)) console.error(thrown);
  const error = thrown instanceof NeunetsError ? thrown : refusal("INTERNAL", String(thrown));
  const message = shortened(error.message, LONGEST_MESSAGE);
  const details = [];
  if (error.reason) {
    const metadata = Object.entries(error.metadata).map(([name, value]) => [name, shortened(value, LONGEST_VALUE)]);
    const info = { domain: DOMAIN, reason: error.reason, metadata: Object.fromEntries(metadata) };
    details.push(anyPack(ErrorInfoSchema, create(ErrorInfoSchema, info)));
  }
  if (error.violations.length) {
    const fieldViolations = error.violations.map(({ field, description }) => ({
      field: shortened(field, LONGEST_VALUE),
      description: shortened(description, LONGEST_VALUE),
    }));
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  const metadata = new Metadata();
  const code = status[error.code];
  metadata.set(DETAILS_KEY, serialize(StatusSchema, create(StatusSchema, { code, message, details })));
  return { code, details: message, metadata };
}

function shortened(text: string, mostBytes: number): string {
  const raw = Buffer.from(text);
  if (raw.length <= mostBytes) return text;
  return `${raw
    .subarray(0, mostBytes - 4)
    .toString()
    .replace(/�+$/, "")} …`;
}
