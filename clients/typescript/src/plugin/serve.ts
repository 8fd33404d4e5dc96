import { once } from "node:events";
import { lstat, rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation, service as healthService } from "grpc-health-check";
import { NeunetsError } from "../errors.js";
import { Synthesizer as Service } from "../gen/neunets/synthesizer/v1/synthesizer_pb.js";
import type { Synthesizer } from "./api.js";
import { Alone, type Place, placeOf, type Site } from "./place.js";
import { badField } from "./refusals.js";
import { Registration } from "./registration.js";
import { Servicer } from "./servicer.js";

const GRACE_MS = 1_000;
/** Of a parent that is gone: Node cannot ask the kernel for a signal at its death. */
const LOOK_EVERY_MS = 1_000;
const UNIX = "unix:";

/**
 * Serve until told to end (SIGTERM, SIGINT), and end the process.
 *
 * From the environment, as the engine sets it: NEUNETS_HOST (gRPC target of the plugin host), NEUNETS_LAUNCH_TOKEN,
 * NEUNETS_SOCKET_DIR, NEUNETS_PARENT_DEATH=1 (end with the engine). On another host: NEUNETS_ENROLMENT (the folder that
 * `neunets synthesizers enroll` wrote; its certificate is replaced before it ends), NEUNETS_LISTEN (HOST:PORT to listen
 * on), NEUNETS_ENDPOINT (as the engine calls it, where it differs). With NEUNETS_LISTEN alone it registers nowhere, and
 * the engine's operator lists its address: HOST:PORT or unix:PATH, open to this machine only without NEUNETS_TLS, a
 * folder with ca.pem, cert.pem and key.pem.
 */
export async function serve(synthesizer: Synthesizer): Promise<never> {
  const parent = process.ppid;
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => stop.abort());
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {}); // a reader that is gone
  try {
    const place = placeOf(process.env);
    if (place.isChild) setInterval(() => process.ppid === parent || process.exit(1), LOOK_EVERY_MS);
    process.exit(await served(synthesizer, place, stop.signal));
  } catch (error) {
    if (!(error instanceof NeunetsError)) throw error;
    console.error(error.message);
    process.exit(2);
  }
}

/** Returns the exit code. Throws where it cannot listen. */
async function served(synthesizer: Synthesizer, place: Place | Alone, signal: AbortSignal): Promise<number> {
  const registration = place instanceof Alone ? undefined : new Registration(place, signal);
  const servicer = new Servicer(synthesizer, registration?.host ?? { estimateCost: nowhere, validateGraph: nowhere });
  const server = await listening(servicer, place);
  try {
    if (registration !== undefined) return await registration.keep(servicer, synthesizer.description);
    console.error(`serving on ${place.address}`);
    if (!signal.aborted) await once(signal, "abort");
    return 0;
  } finally {
    await ended(server);
    await unlinked(place);
  }
}

async function listening(servicer: Servicer, place: Site): Promise<Server> {
  const server = new Server({ interceptors: place.interceptors });
  servicer.addTo(server);
  new HealthImplementation({ "": "SERVING", [Service.typeName]: "SERVING" }).addToServer(server);
  const files = [...withDependencies(Service.file)].map(({ proto }) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, proto)),
  );
  const ours = { format: "Protocol Buffer 3 DescriptorProto" as const, type: {}, fileDescriptorProtos: files };
  new ReflectionService({ ours, health: healthService }).addToServer(server);
  if (place.address.startsWith(UNIX)) process.umask(0o077); // nobody else may connect to the socket
  await unlinked(place);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(place.address, place.credentials, (error) => (error ? reject(error) : resolve()));
  }).catch((error) => {
    throw badField(place.variable, `cannot listen on ${place.address}: ${error.message}`);
  });
  return server;
}

function withDependencies(file: DescFile, found = new Set<DescFile>()): Set<DescFile> {
  for (const dependency of file.dependencies) withDependencies(dependency, found);
  return found.add(file);
}

/** Calls under way get a moment. */
async function ended(server: Server): Promise<void> {
  await Promise.race([new Promise<void>((resolve) => server.tryShutdown(() => resolve())), delay(GRACE_MS)]);
  server.forceShutdown();
}

/** No socket, of an earlier process or this one, is left. */
async function unlinked({ address }: Site): Promise<void> {
  const path = address.startsWith(UNIX) ? address.slice(UNIX.length) : undefined;
  const found = path === undefined ? undefined : await lstat(path).catch(() => undefined);
  if (path !== undefined && found?.isSocket()) await rm(path, { force: true });
}

async function nowhere(): Promise<never> {
  throw new NeunetsError("FAILED_PRECONDITION", "this plugin has registered nowhere: there is no engine to ask");
}
