import { type DescMessage, type DescMethodUnary, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import type { handleUnaryCall, ServerUnaryCall } from "@grpc/grpc-js";
import { pathOf, serialize } from "../channel.js";
import { badField, statusOf } from "./refusals.js";

const LONGEST_DEADLINE_MS = 24 * 3_600_000;

/** A handler for grpc-js. It sees to the deadline, and turns what is thrown into a status. */
export function answered<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  answer: (request: MessageShape<I>) => MessageShape<O> | Promise<MessageShape<O>>,
) {
  const handle: handleUnaryCall<MessageShape<I>, MessageShape<O>> = async (call, callback) => {
    try {
      checkDeadline(call);
      callback(null, await answer(call.request));
    } catch (error) {
      callback(statusOf(error));
    }
  };
  const definition = {
    path: pathOf(method),
    requestStream: false,
    responseStream: false,
    requestSerialize: (message: MessageShape<I>) => serialize(method.input, message),
    requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
    responseSerialize: (message: MessageShape<O>) => serialize(method.output, message),
    responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
  } as const;
  return { name: method.localName, definition, handle };
}

function checkDeadline(call: ServerUnaryCall<unknown, unknown>): void {
  if (Number(call.getDeadline()) - Date.now() > LONGEST_DEADLINE_MS) {
    throw badField("deadline", "every call needs one of at most a day");
  }
}
