// Generates src/gen from the protos; `--check` only compares. The generator is pinned by package-lock.json.
// What is not ours, google/rpc, comes from the Python package googleapis-common-protos: written, but not compared.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../..");
const bin = join(root, ".venv/bin");
const gen = join(here, "src/gen");
const OURS = ["graph", "synthesizer", "service"].map((name) => `neunets/${name}/v1`);
const THEIRS = ["google/rpc/status.proto", "google/rpc/error_details.proto"];

function generate(scratch, out) {
  const find = "import google.rpc; print(google.rpc.__path__[0])";
  const rpc = execFileSync(join(bin, "python"), ["-c", find], { encoding: "utf8" }).trim();
  for (const folder of OURS) cpSync(join(root, "protos", folder), join(scratch, folder), { recursive: true });
  for (const file of THEIRS) cpSync(join(rpc, "../..", file), join(scratch, file));
  const plugin = {
    local: join(here, "node_modules/.bin/protoc-gen-es"),
    out,
    opt: ["target=ts", "import_extension=js"],
  };
  writeFileSync(join(scratch, "buf.gen.json"), JSON.stringify({ version: "v2", plugins: [plugin] }));
  execFileSync(join(bin, "buf"), ["generate", "--template", "buf.gen.json"], { cwd: scratch, stdio: "inherit" });
}

function files(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)));
}

const scratch = mkdtempSync(join(tmpdir(), "neunets-"));
try {
  const out = join(scratch, "out");
  generate(scratch, out);
  if (process.argv.includes("--check")) {
    const same = (file) =>
      [out, gen].every((folder) => existsSync(join(folder, file))) &&
      readFileSync(join(out, file)).equals(readFileSync(join(gen, file)));
    const all = [...new Set([...files(out), ...files(gen)])].filter((file) => !file.startsWith("google/"));
    const stale = all.filter((file) => !same(file));
    for (const file of stale) console.error(`not current: src/gen/${file}; run \`npm run generate\``);
    process.exitCode = stale.length ? 1 : 0;
  } else {
    rmSync(gen, { recursive: true, force: true });
    cpSync(out, gen, { recursive: true });
    console.log(`${files(gen).length} files written`);
  }
} finally {
  rmSync(scratch, { recursive: true });
}
