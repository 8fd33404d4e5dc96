/** What the system's tests cannot see of a plugin on another host: what is refused in which words, and one handshake. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect } from "node:tls";
import { credentials, Server } from "@grpc/grpc-js";
import { Channel } from "../src/channel.js";
import { synthesizer as wire } from "../src/index.js";
import type { Session, Synthesizer } from "../src/plugin/index.js";
import { type Place, placeOf } from "../src/plugin/place.js";
import { Servicer } from "../src/plugin/servicer.js";
import { refused } from "./refused.js";

const { open, describe } = wire.Synthesizer.method;
const limits = { deadlineMs: 10_000 };
const host = { estimateCost: () => assert.fail(), validateGraph: () => assert.fail() };
const description = { name: "slow", version: "1", summary: "", tasks: ["t"], operators: [] };
const skip = spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not installed";
const folder = mkdtempSync(join(tmpdir(), "neunets-"));

after(() => rmSync(folder, { recursive: true }));

test("only this machine is served without encryption", () => {
  for (const NEUNETS_LISTEN of ["127.0.0.1:7400", "[::1]:7400", "localhost:7400", "unix:plugin.sock"]) {
    assert.equal(placeOf({ NEUNETS_LISTEN }).address, NEUNETS_LISTEN);
  }
  for (const NEUNETS_LISTEN of ["0.0.0.0:7400", "[::]:7400", "10.0.0.1:7400", "127.example:7400", ":7400", "7400"]) {
    assert.throws(() => placeOf({ NEUNETS_LISTEN }), /NEUNETS_LISTEN: .* set NEUNETS_TLS/);
  }
});

test("what is missing is named by its variable", () => {
  const listen = { NEUNETS_LISTEN: "127.0.0.1:7400" };
  assert.throws(() => placeOf({}), /NEUNETS_HOST: it is not set: .*NEUNETS_ENROLMENT/);
  assert.throws(() => placeOf({ NEUNETS_ENROLMENT: "nowhere" }), /NEUNETS_LISTEN: it is not set: .*HOST:PORT/);
  assert.throws(() => placeOf({ ...listen, NEUNETS_ENROLMENT: "nowhere" }), /NEUNETS_ENROLMENT: .*ca\.pem.* enroll/);
  assert.throws(() => placeOf({ ...listen, NEUNETS_TLS: "nowhere" }), /NEUNETS_TLS: .*ca\.pem.* key\.pem/);
});

test("a certificate is refused where it is of another key, or no certificate at all", { skip }, async () => {
  const place = enrolled();
  issue("near");
  const before = read("cert.pem");
  await assert.rejects(place.rotate(read("near.pem")), /key values mismatch/);
  assert.deepEqual(read("cert.pem"), before);
  writeFileSync(join(folder, "ca.pem"), "no certificate");
  const environment = { NEUNETS_LISTEN: "127.0.0.1:0", NEUNETS_TLS: folder };
  assert.throws(() => placeOf(environment), /NEUNETS_TLS: .*cannot be used/);
});

test("a new certificate is shown to who connects from then on, and no call under way is lost", { skip }, async () => {
  const place = enrolled();
  for (const name of ["engine", "near"]) issue(name);
  const at = new EventEmitter();
  const opening = once(at, "open");
  const synthesizer: Synthesizer = {
    description,
    open: async () => {
      at.emit("open");
      const [session] = (await once(at, "answer")) as [Session];
      return session;
    },
  };
  const server = new Server({ interceptors: place.interceptors });
  new Servicer(synthesizer, host).addTo(server);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(place.address, place.credentials, (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  const [engine, stranger] = [channelOf("engine", port), channelOf("near", port)];
  try {
    assert.equal((await refused(stranger.unary(describe, {}, limits))).code, "PERMISSION_DENIED");
    const input = { name: "image", shape: [8, 8, 1], mean: [0], std: [1] };
    const problem = { task: "t", input, dataset: { classes: 2 } };
    const answer = engine.unary(open, { call: { run: "r", epoch: 1n }, problem }, limits);
    await opening;
    const first = await shown(port);
    issue("far");
    await place.rotate(read("far.pem"));
    assert.notEqual(await shown(port), first);
    assert.equal(await shown(port), new X509Certificate(read("cert.pem")).serialNumber);
    at.emit("answer", { propose: assert.fail, ingest: assert.fail, assess: assert.fail });
    assert.equal((await answer).appliedSeq, 0n);
    assert.equal((await engine.unary(describe, {}, limits)).name, "slow");
  } finally {
    engine.close();
    stranger.close();
    server.forceShutdown();
  }
});

/** As the command writes its folder, with an authority of this test's. */
function enrolled(): Place {
  openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a -keyout ca.key -out ca.pem");
  issue("far");
  writeFileSync(join(folder, "cert.pem"), read("far.pem"));
  writeFileSync(join(folder, "key.pem"), read("far.key"));
  for (const name of ["token", "host"]) writeFileSync(join(folder, name), `${name}\n`);
  return placeOf({ NEUNETS_ENROLMENT: folder, NEUNETS_LISTEN: "127.0.0.1:0" }) as Place;
}

/** A certificate of the key with this name, which is made at first. */
function issue(name: string): void {
  const isNew = !existsSync(join(folder, `${name}.key`));
  if (isNew) openssl(`genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ${name}.key`);
  const extension = `-addext subjectAltName=DNS:${name}.neunets`;
  openssl(`req -x509 -CA ca.pem -CAkey ca.key -key ${name}.key -subj /CN=${name} ${extension} -out ${name}.pem`);
}

function openssl(words: string): void {
  execFileSync("openssl", words.split(" "), { cwd: folder, stdio: "pipe" });
}

function read(name: string): Buffer {
  return readFileSync(join(folder, name));
}

function channelOf(name: string, port: number): Channel {
  const secure = credentials.createSsl(read("ca.pem"), read(`${name}.key`), read(`${name}.pem`));
  return new Channel(`127.0.0.1:${port}`, secure, { "grpc.ssl_target_name_override": "far.neunets" });
}

/** Serial number of the certificate that the next one who connects is shown. */
async function shown(port: number): Promise<string> {
  const [ca, cert, key] = [read("ca.pem"), read("engine.pem"), read("engine.key")];
  const socket = connect({ port, host: "127.0.0.1", servername: "far.neunets", ca, cert, key, ALPNProtocols: ["h2"] });
  await once(socket, "secureConnect");
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}
