import { setTimeout as delay } from "node:timers/promises";
import { NeunetsError } from "./errors.js";

const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 5_000;

/** Exponential back-off with jitter, until nobody has answered for `patienceMs`. */
export class BackOff {
  #delayMs = FIRST_DELAY_MS;
  #since: number | undefined;

  constructor(
    private readonly patienceMs: number,
    private readonly signal?: AbortSignal,
  ) {}

  /** The other side answers: the next failure is a first one. */
  reset(): void {
    this.#delayMs = FIRST_DELAY_MS;
    this.#since = undefined;
  }

  /** Waits before the next try. Throws `error` itself where another try is of no use. */
  async after(error: unknown): Promise<void> {
    if (!(error instanceof NeunetsError) || !error.isUnavailable) throw error;
    this.#since ??= performance.now();
    if (performance.now() - this.#since > this.patienceMs) throw error;
    const waitMs = Math.max(error.retryAfterMs, this.#delayMs * (0.5 + Math.random() / 2));
    await delay(waitMs, undefined, { signal: this.signal }).catch(() => this.signal?.throwIfAborted());
    this.#delayMs = Math.min(2 * this.#delayMs, LONGEST_DELAY_MS);
  }
}

/** UNAVAILABLE is tried again with back-off, DEADLINE_EXCEEDED once with twice the time; all else is thrown. */
export async function retried<T>(
  attempt: (deadlineMs: number) => Promise<T>,
  deadlineMs: number,
  backOff: BackOff,
): Promise<T> {
  for (let isLate = false, limitMs = deadlineMs; ; ) {
    try {
      return await attempt(limitMs);
    } catch (error) {
      if (error instanceof NeunetsError && error.code === "DEADLINE_EXCEEDED" && !isLate) {
        isLate = true;
        limitMs = 2 * deadlineMs;
      } else {
        await backOff.after(error);
      }
    }
  }
}
