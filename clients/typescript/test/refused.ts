import assert from "node:assert/strict";
import { NeunetsError } from "../src/index.js";

/** What `answer` was refused with. */
export async function refused(answer: Promise<unknown>): Promise<NeunetsError> {
  const error = await answer.then(
    () => assert.fail("it was answered"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof NeunetsError, String(error));
  return error;
}
