/** From data to predictions: `node dist/synthesize.js --server TARGET --data digits --images FILE --out DIR`. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connect, NeunetsError, service } from "@neunets/client";
import { InferenceSession, Tensor } from "onnxruntime-node";

const { values: options } = parseArgs({
  options: {
    server: { type: "string", default: "127.0.0.1:7390" },
    data: { type: "string", default: "digits" },
    trials: { type: "string", default: "2" },
    synthesizer: { type: "string", default: "" },
    /** Raw bytes, one image after another, as the data set's input has them: (H, W, C). */
    images: { type: "string", default: "images.raw" },
    out: { type: "string", default: "out" },
  },
});

/** The exported model of a new run on `source`, and the shape of one image. */
async function synthesize(source: string, trials: number, out: string): Promise<{ model: string; shape: number[] }> {
  const client = connect(options.server);
  try {
    const dataset = await client.register(source, {
      tell: ({ stage, done, total }) => tell(`${stage} ${done}/${total}`),
    });
    const run = await client.start({ dataset: dataset.name, synthesizer: options.synthesizer, trials });
    for await (const { seq, event } of client.watch(run.name)) tell(seq, line(event));
    const { state, reason, model } = await client.get(run.name);
    if (model === "") throw new Error(`${run.name} is ${service.RunState[state]}: ${reason}`);
    for (const path of await client.download(model, out)) tell(path);
    return { model: join(out, "model.onnx"), shape: dataset.input?.shape ?? [] };
  } finally {
    client.close();
  }
}

/** What is of interest to people; empty: nothing. */
function line({ case: kind, value }: service.RunEvent["event"]): string {
  switch (kind) {
    case "stateChanged":
      return `${service.RunState[value.from]} → ${service.RunState[value.to]} ${value.reason}`.trimEnd();
    case "search": {
      if (value.event.case !== "ended") return "";
      const { trial, metrics } = value.event.value;
      return `trial ${trial} ended, accuracy ${metrics.valid_accuracy?.toFixed(4) ?? "unknown"}`;
    }
    case "verdict":
      return value.reason;
    case "modelExported":
      return `exported ${value.model}`;
    default:
      return "";
  }
}

function tell(...words: (string | bigint)[]): void {
  if (words.at(-1) !== "") console.log(...words.map(String));
}

/** One row of probabilities an image. */
async function predict(path: string, images: Uint8Array, shape: number[]): Promise<number[][]> {
  const session = await InferenceSession.create(path);
  const bytes = shape.reduce((product, extent) => product * extent, 1);
  const image = new Tensor("uint8", images, [images.length / bytes, ...shape]);
  const { probabilities } = await session.run({ image });
  if (probabilities === undefined) throw new Error(`${path} has no output "probabilities"`);
  const values = Array.from(probabilities.data as Float32Array);
  const classes = probabilities.dims[1] ?? 1;
  return Array.from({ length: values.length / classes }, (_, row) => values.slice(row * classes, (row + 1) * classes));
}

try {
  const images = new Uint8Array(await readFile(options.images));
  await mkdir(options.out, { recursive: true });
  const { model, shape } = await synthesize(options.data, Number(options.trials), options.out);
  const rows = await predict(model, images, shape);
  const text = rows.map((row) => `${row.map((value) => value.toPrecision(9)).join(",")}\n`).join("");
  await writeFile(join(options.out, "predictions.csv"), text);
  tell(`${rows.length} predictions in ${join(options.out, "predictions.csv")}`);
} catch (error) {
  if (!(error instanceof NeunetsError)) throw error;
  console.error(`${error.code}${error.reason && `/${error.reason}`}: ${error.message}`);
  process.exitCode = 1;
}
