/** What the conformance kit cannot ask of every plugin: sessions that take their time, fail, or wait. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { Channel } from "../src/channel.js";
import { synthesizer as wire } from "../src/index.js";
import type { Outcome, Session, Synthesizer } from "../src/plugin/index.js";
import { Servicer } from "../src/plugin/servicer.js";
import { refused } from "./refused.js";

const { open, propose, ingest, assess, describe } = wire.Synthesizer.method;
const limits = { deadlineMs: 5_000 };
const budget = { slots: 1 };
const host = { estimateCost: () => assert.fail(), validateGraph: () => assert.fail() };

/** Does what the test says. */
class Scripted implements Session {
  outcome: Promise<Outcome> | Outcome = { kind: "wait", reason: "no results yet" };
  asked = 0;
  events = 0;

  propose() {
    this.asked += 1;
    return this.outcome;
  }

  ingest(events: readonly wire.Event[]) {
    this.events += events.length;
    if (events.some(({ event }) => event.case === "rejected")) throw new Error("poison");
  }

  assess() {
    return { progress: Number.NaN };
  }
}

const sessions: Scripted[] = [];
const synthesizer: Synthesizer = {
  description: {
    name: "scripted",
    version: "1",
    summary: "",
    tasks: ["t"],
    operators: [],
    settings: { properties: {} },
  },
  open: () => sessions[sessions.push(new Scripted()) - 1] as Scripted,
};
const servicer = new Servicer(synthesizer, host);
const server = new Server();
let channel: Channel;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "neunets-"));
  const target = `unix:${join(folder, "plugin.sock")}`;
  servicer.addTo(server);
  await new Promise((resolve) => server.bindAsync(target, ServerCredentials.createInsecure(), resolve));
  channel = new Channel(target);
});

after(async () => {
  channel.close();
  server.forceShutdown();
  await rm(folder, { recursive: true });
});

test("a call of a run that computes is refused, other calls are answered, and a late answer is no loss", async () => {
  const { session, call } = await opened("slow");
  let answer: (outcome: Outcome) => void = () => {};
  session.outcome = new Promise((resolve) => {
    answer = resolve;
  });
  const asking = { call: { ...call, requestId: "q1" }, want: 1, budget };
  const late = await refused(channel.unary(propose, asking, { deadlineMs: 100 }));
  assert.equal(late.code, "DEADLINE_EXCEEDED");
  const busy = await refused(channel.unary(assess, { call, budget }, limits));
  assert.deepEqual([busy.code, busy.reason], ["ABORTED", "IN_FLIGHT"]);
  assert.equal((await channel.unary(describe, {}, limits)).name, "scripted");
  answer({ kind: "exhausted", reason: "done" });
  const again = await channel.unary(propose, asking, limits);
  assert.deepEqual([again.outcome.case, session.asked], ["exhausted", 1]);
});

test("who was told to wait is asked anew with the same request", async () => {
  const { session, call } = await opened("waiting");
  const asking = { call: { ...call, requestId: "q1" }, want: 1, budget };
  assert.equal((await channel.unary(propose, asking, limits)).outcome.case, "wait");
  session.outcome = { kind: "exhausted", reason: "done" };
  assert.equal((await channel.unary(propose, asking, limits)).outcome.case, "exhausted");
});

test("a session that fails at its events is opened again, instead of seeing half of them twice", async () => {
  const { call } = await opened("failing");
  const events = [{ seq: 1n, event: { case: "rejected", value: {} } as const }];
  const failed = await refused(channel.unary(ingest, { call, events }, limits));
  assert.deepEqual([failed.code, failed.reason], ["INTERNAL", "INTERNAL"]);
  assert.match(failed.message, /poison/);
  assert.equal((await refused(channel.unary(ingest, { call, events }, limits))).reason, "RUN_NOT_OPEN");
});

test("progress that is no number is left out, and a verdict is always given", async () => {
  const { call } = await opened("assessed");
  const { progress, verdict } = await channel.unary(assess, { call, budget }, limits);
  assert.deepEqual([progress, verdict], [undefined, wire.AssessResponse_Verdict.CONTINUE]);
});

test("a setting that the schema neither knows nor forbids is warned of", async () => {
  const answer = await channel.unary(open, { ...opening("warned"), settings: { depth: 3 } }, limits);
  assert.deepEqual(
    answer.diagnostics.map(({ path }) => path),
    ["settings.depth"],
  );
});

test("a plugin that is drained keeps its runs and takes no more", async () => {
  const { call } = await opened("kept");
  servicer.isDraining = true;
  await channel.unary(assess, { call, budget }, limits);
  const late = await refused(channel.unary(open, opening("late"), limits));
  assert.deepEqual([late.code, late.reason], ["UNAVAILABLE", "NOT_READY"]);
  servicer.isDraining = false;
});

function opening(run: string): MessageInitShape<typeof open.input> {
  const input = { name: "image", shape: [8, 8, 1], mean: [0], std: [1] };
  return { call: { run, epoch: 1n }, problem: { task: "t", input, dataset: { classes: 2 } } };
}

async function opened(run: string) {
  await channel.unary(open, opening(run), limits);
  return { session: sessions.at(-1) as Scripted, call: { run, epoch: 1n } };
}
