import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { NeunetsError } from "./errors.js";
import type { Artifact, DownloadResponse } from "./gen/neunets/service/v1/service_pb.js";
import type { BackOff } from "./retry.js";

type Source = (file: string, offset: bigint) => AsyncIterable<DownloadResponse>;

/** Writes one file into `folder`, which gets its name once its SHA-256 is right; its path. */
export async function download(artifact: Artifact, folder: string, source: Source, backOff: BackOff): Promise<string> {
  const { file, ref } = artifact;
  if (ref === undefined || file !== basename(file) || file.startsWith(".")) {
    throw new NeunetsError("DATA_LOSS", `${JSON.stringify(file)} is no file that could be fetched`);
  }
  const path = join(folder, file);
  if ((await digested(path)).digest("hex") === ref.sha256) return path;
  await mkdir(folder, { recursive: true });
  // Named by its content: the rest of another model's file is never taken up.
  const scratch = join(folder, `.${file}.${ref.sha256.slice(0, 16)}.part`);
  const hash = await digested(scratch);
  const out = await open(scratch, "a");
  try {
    await fill(out, hash, ref.size, (offset) => source(file, offset), backOff);
    await out.sync();
  } finally {
    await out.close();
  }
  if (hash.digest("hex") !== ref.sha256) {
    await rm(scratch);
    throw new NeunetsError("DATA_LOSS", `${file} came damaged: its SHA-256 is not ${ref.sha256}; fetch it again`);
  }
  await rename(scratch, path);
  return path;
}

async function fill(
  out: FileHandle,
  hash: Hash,
  size: bigint,
  source: (offset: bigint) => AsyncIterable<DownloadResponse>,
  backOff: BackOff,
): Promise<void> {
  let offset = BigInt((await out.stat()).size);
  while (offset < size) {
    const before = offset;
    try {
      for await (const { data } of source(offset)) {
        backOff.reset();
        await out.appendFile(data);
        hash.update(data);
        offset += BigInt(data.length);
      }
    } catch (error) {
      await backOff.after(error);
      continue;
    }
    if (offset === before) throw new NeunetsError("DATA_LOSS", `the file ends at ${offset} of ${size} bytes`);
  }
}

/** Of a file's bytes; of none where there is no file. */
async function digested(path: string): Promise<Hash> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return hash;
}
