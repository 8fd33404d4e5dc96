import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { durationMs, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation, service as healthService } from "grpc-health-check";
import { Channel } from "../channel.js";
import { NeunetsError } from "../errors.js";
import {
  PluginHost,
  type RegisterResponse,
  Synthesizer as Service,
} from "../gen/neunets/synthesizer/v1/synthesizer_pb.js";
import { BackOff, retried } from "../retry.js";
import type { Host, Synthesizer } from "./api.js";
import { Servicer } from "./servicer.js";
import { descriptionToProto } from "./wire.js";

const PROTOCOL_MAJOR = 1;
const REGISTER_DEADLINE_MS = 5_000;
/** As long as a launch token lives. */
const REGISTER_PATIENCE_MS = 60_000;
const HOST_DEADLINE_MS = 10_000;
const GRACE_MS = 1_000;
/** Of a parent that is gone: Node cannot ask the kernel for a signal at its death. */
const LOOK_EVERY_MS = 1_000;
/** Renewals in a row that fail before the engine counts as gone: ten leases. */
const MOST_FAILURES = 30;

/**
 * Serve until told to end (SIGTERM, SIGINT), and end the process.
 *
 * From the environment, as the engine sets it: NEUNETS_HOST (gRPC target of the plugin host), NEUNETS_LAUNCH_TOKEN,
 * NEUNETS_SOCKET_DIR, NEUNETS_PARENT_DEATH=1 (end with the engine).
 */
export async function serve(synthesizer: Synthesizer): Promise<never> {
  const parent = process.ppid;
  const environment = process.env;
  const { NEUNETS_HOST: target, NEUNETS_LAUNCH_TOKEN: token, NEUNETS_SOCKET_DIR: folder } = environment;
  if (!target || !token || !folder) {
    console.error("NEUNETS_HOST, NEUNETS_LAUNCH_TOKEN, NEUNETS_SOCKET_DIR: a synthesizer is started by the engine");
    process.exit(2);
  }
  const isChild = environment.NEUNETS_PARENT_DEATH === "1";
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => stop.abort());
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {}); // a reader that is gone
  if (isChild) setInterval(() => process.ppid === parent || process.exit(1), LOOK_EVERY_MS);

  process.umask(0o077); // nobody else may connect to the socket
  const path = join(folder, `${process.pid}.sock`);
  const channel = new Channel(target);
  const servicer = new Servicer(synthesizer, hostOf(channel));
  const server = await listening(servicer, path);
  let code = 0;
  try {
    const self = descriptionToProto(synthesizer.description);
    const register = () => registered(channel, { token, endpoint: `unix:${path}`, self }, stop.signal);
    code = await keepRegistered(channel, servicer, register, isChild, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) {
      console.error(`the engine refused this plugin: ${error instanceof Error ? error.message : error}`);
      code = 1;
    }
  }
  await ended(server);
  await rm(path, { force: true });
  process.exit(code);
}

async function listening(servicer: Servicer, path: string): Promise<Server> {
  const server = new Server();
  servicer.addTo(server);
  new HealthImplementation({ "": "SERVING", [Service.typeName]: "SERVING" }).addToServer(server);
  const files = [...withDependencies(Service.file)].map(({ proto }) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, proto)),
  );
  const ours = { format: "Protocol Buffer 3 DescriptorProto" as const, type: {}, fileDescriptorProtos: files };
  new ReflectionService({ ours, health: healthService }).addToServer(server);
  await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync(`unix:${path}`, credentials, (error) => (error ? reject(error) : resolve()));
  });
  return server;
}

function withDependencies(file: DescFile, found = new Set<DescFile>()): Set<DescFile> {
  for (const dependency of file.dependencies) withDependencies(dependency, found);
  return found.add(file);
}

function registered(
  channel: Channel,
  request: { token: string; endpoint: string; self: ReturnType<typeof descriptionToProto> },
  signal: AbortSignal,
): Promise<RegisterResponse> {
  const attempt = (deadlineMs: number) =>
    channel.unary(PluginHost.method.register, { ...request, protocolMajors: [PROTOCOL_MAJOR] }, { deadlineMs, signal });
  return retried(attempt, REGISTER_DEADLINE_MS, new BackOff(REGISTER_PATIENCE_MS, signal));
}

/** Renews the lease until `signal`, until the engine drains this plugin, or is gone. Returns the exit code. */
async function keepRegistered(
  channel: Channel,
  servicer: Servicer,
  register: () => Promise<RegisterResponse>,
  isChild: boolean,
  signal: AbortSignal,
): Promise<number> {
  let { plugin, lease } = await register();
  const leaseMs = lease === undefined ? 30_000 : durationMs(lease);
  for (let failures = 0; ; ) {
    await delay(leaseMs / 3, undefined, { signal }).catch(() => {});
    if (signal.aborted) return 0;
    try {
      const { openRuns, isDraining } = servicer;
      const request = { plugin, openRuns, draining: isDraining };
      const limits = { deadlineMs: REGISTER_DEADLINE_MS, signal };
      const { pleaseDrain } = await channel.unary(PluginHost.method.renew, request, limits);
      failures = 0;
      servicer.isDraining ||= pleaseDrain;
      if (servicer.isDraining && servicer.openRuns === 0) return 0;
    } catch (error) {
      if (signal.aborted) return 0;
      console.error(`the lease was not renewed: ${error instanceof Error ? error.message : error}`);
      failures += 1;
      if (isChild && failures >= MOST_FAILURES) return 1;
      // An engine that was started again does not know this plugin; its token may still be good.
      if (error instanceof NeunetsError && error.code === "NOT_FOUND") {
        ({ plugin } = await register().catch(() => ({ plugin })));
      }
    }
  }
}

/** Calls under way get a moment. */
async function ended(server: Server): Promise<void> {
  await Promise.race([new Promise<void>((resolve) => server.tryShutdown(() => resolve())), delay(GRACE_MS)]);
  server.forceShutdown();
}

function hostOf(channel: Channel): Host {
  const limits = { deadlineMs: HOST_DEADLINE_MS };
  return {
    estimateCost: (graph) => channel.unary(PluginHost.method.estimateCost, { graph }, limits),
    validateGraph: async (run, graph) => {
      const { diagnostics } = await channel.unary(PluginHost.method.validateGraph, { run, graph }, limits);
      return diagnostics;
    },
  };
}
