/** Against a real engine: NEUNETS_SERVER is its gRPC target. */
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Client, connect, service } from "../src/index.js";
import { refused } from "./refused.js";

const target = process.env.NEUNETS_SERVER ?? "";
const skip = target === "" && "NEUNETS_SERVER is not set: it names an engine, such as clients/with_engine.py starts";

describe("a client of an engine", { skip }, () => {
  let client: Client;
  let dataset: service.Dataset;
  let folder: string;
  /** A run that was watched from beginning to end, over lost connections. */
  let run: service.Run;
  const requestId = randomUUID();
  const events: service.RunEvent[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "neunets-"));
    client = connect(target);
    dataset = await client.register("digits");
    const spec = { dataset: dataset.name, trials: 2, seed: 7n };
    run = await client.start(spec, { requestId });
    const wire = await Wire.to(target);
    const watcher = connect(wire.target);
    for await (const event of watcher.watch(run.name)) {
      events.push(event);
      if (events.length % 5 === 0) wire.drop();
    }
    watcher.close();
    await wire.close();
  });

  after(async () => {
    client.close();
    await rm(folder, { recursive: true });
  });

  test("a watch goes on over lost connections, without gap or repeat", () => {
    const expected = events.map((_, index) => BigInt(index + 1));
    assert.deepEqual(seqs(events), expected);
    assert.ok(events.length >= 10, `${events.length} events: no connection was lost on the way`);
  });

  test("a watch of a finished run ends, and begins where it is told to", async () => {
    const rest = [];
    for await (const event of client.watch(run.name, { after: 3n })) rest.push(event);
    assert.deepEqual(seqs(rest), seqs(events).slice(3));
  });

  test("a run that was waited for is complete, and names its model", async () => {
    const done = await client.wait(run.name);
    assert.equal(done.state, service.RunState.COMPLETED);
    assert.equal(done.seq, BigInt(events.length));
    const models = [];
    for await (const model of client.models(run.name)) models.push(model.name);
    assert.ok(models.includes(done.model));
  });

  test("the same request starts one run, and with another body it is refused", async () => {
    const spec = { dataset: dataset.name, trials: 2, seed: 7n };
    assert.equal((await client.start(spec, { requestId })).name, run.name);
    const error = await refused(client.start({ ...spec, trials: 3 }, { requestId }));
    assert.deepEqual([error.code, error.reason], ["ALREADY_EXISTS", "REQUEST_ID_REUSED"]);
  });

  test("downloaded files have the digests that the engine names", async () => {
    const paths = await client.download((await client.get(run.name)).model, folder);
    const found = await Promise.all(paths.map(async (path) => digest(await readFile(path))));
    const { model } = await client.call(service.Models.method.export, { name: (await client.get(run.name)).model });
    assert.deepEqual(
      found,
      model?.artifacts.map(({ ref }) => ref?.sha256),
    );
  });

  test("an interrupted download goes on where it was, and a damaged one is refused", async () => {
    const { model: name } = await client.get(run.name);
    const path = (await client.download(name, folder)).find((each) => each.endsWith("model.onnx")) ?? "";
    const whole = await readFile(path);
    const scratch = join(folder, `.model.onnx.${digest(whole).slice(0, 16)}.part`);
    await rename(path, scratch);
    await truncate(scratch, 1000);
    await client.download(name, folder);
    assert.deepEqual(await readFile(path), whole);

    await rm(path);
    await writeFile(scratch, Buffer.alloc(1000));
    assert.equal((await refused(client.download(name, folder))).code, "DATA_LOSS");
    await client.download(name, folder);
    assert.deepEqual(await readFile(path), whole);
    assert.ok((await readdir(folder)).every((file) => !file.endsWith(".part")));
  });

  test("an unknown run is NOT_FOUND", async () => {
    const error = await refused(client.get("runs/20000101-000000-000000"));
    assert.deepEqual([error.code, error.reason], ["NOT_FOUND", "NOT_FOUND"]);
    await refused(client.watch("runs/20000101-000000-000000").next());
  });

  test("a bad specification is refused with the path of the field", async () => {
    const { code, reason, field } = await refused(client.start({ dataset: dataset.name }));
    assert.deepEqual([code, reason, field], ["INVALID_ARGUMENT", "BAD_FIELD", "spec.wall_s"]);
  });

  test("what no network can keep is refused before anything starts", async () => {
    const spec = { dataset: dataset.name, trials: 1, maxParams: 1n };
    const { code, reason } = await refused(client.start(spec));
    assert.deepEqual([code, reason], ["FAILED_PRECONDITION", "UNSUPPORTED_PROBLEM"]);
  });

  test("64 bits keep their precision", async () => {
    const seed = 2n ** 64n - 1n;
    const spec = { dataset: dataset.name, trials: 1, seed };
    const request = { requestId: randomUUID(), spec, validateOnly: true };
    assert.equal((await client.call(service.Runs.method.create, request)).spec?.seed, seed);
  });

  test("an aborted signal ends a call with its reason", async () => {
    const reason = new Error("enough");
    await assert.rejects(client.get(run.name, { signal: AbortSignal.abort(reason) }), reason);
    const stop = new AbortController();
    const watch = client.watch(run.name, { signal: stop.signal });
    await watch.next();
    stop.abort(reason);
    await assert.rejects(async () => {
      for await (const _ of watch); // what had come already may still be read
    }, reason);
  });

  test("an engine that is not there is given up after the patience that was asked for", async () => {
    const nobody = connect("127.0.0.1:1", { patienceMs: 300 });
    assert.equal((await refused(nobody.get(run.name))).code, "UNAVAILABLE");
    nobody.close();
  });
});

/** A wire that can be cut. */
class Wire {
  readonly #sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async to(engine: string): Promise<Wire> {
    const url = new URL(`tcp://${engine}`);
    const wire = new Wire(
      createServer((near) => {
        const far = dial(Number(url.port), url.hostname);
        near.pipe(far).pipe(near);
        for (const socket of [near, far]) {
          wire.#sockets.add(socket);
          socket.on("error", () => {}).on("close", () => wire.#cut(near, far));
        }
      }),
    );
    wire.server.listen(0, "127.0.0.1");
    await once(wire.server, "listening");
    return wire;
  }

  get target(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  drop(): void {
    this.#cut(...this.#sockets);
  }

  async close(): Promise<void> {
    this.server.close();
    this.drop();
    await once(this.server, "close");
  }

  #cut(...sockets: Socket[]): void {
    for (const socket of sockets) {
      this.#sockets.delete(socket);
      socket.destroy();
    }
  }
}

function seqs(events: service.RunEvent[]): bigint[] {
  return events.map(({ seq }) => seq);
}

function digest(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
