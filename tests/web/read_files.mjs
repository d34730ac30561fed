// node read_files.mjs MODEL FILE...: what the page's modules make of files, as JSON lines.
// A .cvq file gives its header and indices, or the error that the page would show; an export that
// cannot be used gives one error for all.

import { readFile } from "node:fs/promises";
import path from "node:path";

import { CodecError } from "../../web/src/codec_error.js";
import { readContainer } from "../../web/src/container.js";
import { Model } from "../../web/src/model.js";

const [folder, ...files] = process.argv.slice(2);
const read = async (file) => new Uint8Array(await readFile(file)); // as browsers have it
let model;
try {
  model = await Model.load((name) => read(path.join(folder, name)));
} catch (error) {
  if (!(error instanceof CodecError)) throw error;
  console.log(JSON.stringify({ error: error.message }));
  process.exit();
}

for (const file of files) {
  let answer;
  try {
    const container = readContainer(await read(file));
    model.check(container);
    const start = performance.now();
    const indices = await model.indices(container);
    const seconds = (performance.now() - start) / 1000;
    const { payload, ...header } = container;
    answer = { header, payload: payload.length, indices: Array.from(indices), seconds };
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
}
