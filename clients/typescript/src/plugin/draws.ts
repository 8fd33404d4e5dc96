import { createHash } from "node:crypto";

const WORDS = 8;

/** Random numbers that depend on `seed` and `path` alone, on every machine: SHA-256 of both and a counter. */
export class Draws {
  readonly #name: string;
  #block = Buffer.alloc(0);
  #count = 0;

  constructor(seed: bigint, ...path: readonly (number | string)[]) {
    this.#name = JSON.stringify([String(seed), ...path]);
  }

  /** Uniform in 0..1, without 1. */
  fraction(): number {
    const word = this.#count++ % WORDS;
    if (word === 0) this.#block = createHash("sha256").update(`${this.#name}${this.#count}`).digest();
    return this.#block.readUInt32BE(4 * word) / 2 ** 32;
  }

  /** Uniform in `low`..`high`, both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  choose<T>(options: readonly [T, ...T[]]): T {
    return options[this.integer(0, options.length - 1)] ?? options[0];
  }
}
