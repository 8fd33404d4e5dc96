import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import type { Channel } from "../channel.js";
import { NeunetsError } from "../errors.js";
import { PluginHost, type RegisterRequestSchema } from "../gen/neunets/synthesizer/v1/synthesizer_pb.js";
import { BackOff, retried } from "../retry.js";
import type { Description, Host } from "./api.js";
import type { Place } from "./place.js";
import type { Servicer } from "./servicer.js";
import { descriptionToProto } from "./wire.js";

type Registering = MessageInitShape<typeof RegisterRequestSchema>;

const PROTOCOL_MAJOR = 1;
const DEADLINE_MS = 5_000;
const USUAL_LEASE_MS = 30_000;
/** As long as a launch token lives. */
const PATIENCE_MS = 60_000;
/** Who waits for an engine as long as it takes says so this often. */
const SILENCE_MS = 15_000;
const HOST_DEADLINE_MS = 10_000;
/** Renewals in a row that fail before the engine counts as gone: ten leases. */
const MOST_FAILURES = 30;

/** With the engine: made once, renewed, and made again with the engine that comes after it. */
export class Registration {
  readonly host: Host;
  #channel: Channel;
  #plugin = "";
  #leaseMs = USUAL_LEASE_MS;
  #failures = 0;

  constructor(
    private readonly place: Place,
    private readonly signal: AbortSignal,
  ) {
    this.#channel = place.channel();
    this.host = hostOf(() => this.#channel);
  }

  /** Until the signal, until the engine drains this plugin, or is gone. Returns the exit code. */
  async keep(servicer: Servicer, description: Description): Promise<number> {
    const { token, endpoint } = this.place;
    try {
      const self = descriptionToProto(description);
      const request = { token, endpoint, self, protocolMajors: [PROTOCOL_MAJOR] };
      await this.#register(request);
      let code: number | undefined;
      while (code === undefined) {
        await delay(this.#leaseMs / 3, undefined, { signal: this.signal });
        code = await this.#renew(servicer, request);
      }
      return code;
    } catch (error) {
      if (this.signal.aborted) return 0;
      console.error(`the engine refused this plugin: ${textOf(error)}`);
      return 1;
    } finally {
      this.#channel.close();
    }
  }

  async #register(request: Registering): Promise<void> {
    const { place, signal } = this;
    const attempt = (deadlineMs: number) =>
      this.#channel.unary(PluginHost.method.register, request, { deadlineMs, signal });
    for (;;) {
      try {
        const backOff = new BackOff(place.isKept ? SILENCE_MS : PATIENCE_MS, signal);
        const { plugin, lease } = await retried(attempt, DEADLINE_MS, backOff);
        this.#plugin = plugin;
        this.#hold(lease);
        return;
      } catch (error) {
        if (!place.isKept || !isPassing(error)) throw error;
        console.error(`the engine does not answer: ${textOf(error)}`);
      }
    }
  }

  /** The exit code where there is no more to do. */
  async #renew(servicer: Servicer, registering: Registering): Promise<number | undefined> {
    const { openRuns, isDraining } = servicer;
    const request = { plugin: this.#plugin, openRuns, draining: isDraining };
    try {
      const limits = { deadlineMs: DEADLINE_MS, signal: this.signal };
      const { lease, pleaseDrain, certificate } = await this.#channel.unary(PluginHost.method.renew, request, limits);
      this.#failures = 0;
      this.#hold(lease);
      if (certificate.length > 0) await this.#rotate(certificate);
      servicer.isDraining ||= pleaseDrain;
      return servicer.isDraining && servicer.openRuns === 0 ? 0 : undefined;
    } catch (error) {
      this.signal.throwIfAborted();
      console.error(`the lease was not renewed: ${textOf(error)}`);
      this.#failures += 1;
      if (this.place.isChild && this.#failures >= MOST_FAILURES) return 1;
      if (!(error instanceof NeunetsError && error.code === "NOT_FOUND")) return undefined;
    }
    // An engine that was started again does not know this plugin; a launch token may still be good.
    await this.#register(registering).catch((error) => {
      if (this.place.isKept) throw error;
    });
    return undefined;
  }

  async #rotate(certificate: Uint8Array): Promise<void> {
    try {
      await this.place.rotate(certificate);
    } catch (error) {
      console.error(`the new certificate cannot be used: ${textOf(error)}`);
      return;
    }
    const before = this.#channel;
    this.#channel = this.place.channel();
    before.close();
    console.error("this plugin has a new certificate");
  }

  #hold(lease: Duration | undefined): void {
    this.#leaseMs = (lease && durationMs(lease)) || USUAL_LEASE_MS;
  }
}

/** Worth another try with an engine that comes back. */
function isPassing(error: unknown): boolean {
  return error instanceof NeunetsError && (error.isUnavailable || error.code === "DEADLINE_EXCEEDED");
}

function hostOf(channel: () => Channel): Host {
  const limits = { deadlineMs: HOST_DEADLINE_MS };
  return {
    estimateCost: (graph) => channel().unary(PluginHost.method.estimateCost, { graph }, limits),
    validateGraph: async (run, graph) => {
      const { diagnostics } = await channel().unary(PluginHost.method.validateGraph, { run, graph }, limits);
      return diagnostics;
    },
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
