// node predict.mjs MODEL IMAGES SHAPE: probabilities and labels of raw uint8 images, as JSON.
// SHAPE is JSON as well: [batch, height, width, channels].
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-node";

const [modelPath, imagesPath, shape] = process.argv.slice(2);
const session = await ort.InferenceSession.create(modelPath);
const image = new ort.Tensor("uint8", new Uint8Array(await readFile(imagesPath)), JSON.parse(shape));
const { probabilities, label } = await session.run({ image });
const [rows, classes] = probabilities.dims;
const row = (number) => Array.from(probabilities.data.subarray(number * classes, (number + 1) * classes));
console.log(JSON.stringify({ probabilities: Array.from({ length: rows }, (_, n) => row(n)), labels: label.data }));
