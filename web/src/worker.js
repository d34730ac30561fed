/**
 * Decodes files beside the page, so that the page stays usable.
 *
 * It is sent `{id, bytes}` and answers, with the same id, `{header}`, `{stage, done}` now and then,
 * `{part, done}` for each part of the picture, and at the end `{times}` (in seconds), or `{error}`.
 */

import { CodecError } from "./codec_error.js";
import { readContainer } from "./container.js";
import { Model } from "./model.js";
import { Painter } from "./painter.js";

const RUNTIME = new URL("../node_modules/onnxruntime-web/dist/", import.meta.url);
const MODEL = new URL("../model/", import.meta.url);

let model = null;
let painter = null;

self.onmessage = async ({ data: { id, bytes } }) => {
  const tell = (message, moved = []) => self.postMessage({ id, ...message }, moved);
  try {
    await decode(new Uint8Array(bytes), tell);
  } catch (error) {
    const ours = error instanceof CodecError;
    tell({ error: ours ? error.message : `this should not happen: ${error.message}` });
  }
};

async function decode(bytes, tell) {
  const container = readContainer(bytes);
  const { payload, ...header } = container;
  tell({ header: { ...header, bytes: bytes.length } });
  tell({ stage: "loading the model" });
  model ??= await Model.load(fetchFile);
  model.check(container);
  const start = performance.now();
  tell({ stage: "decoding indices" });
  const indices = await model.indices(container, (done) => {
    tell({ stage: "decoding indices", done });
  });
  const decoded = performance.now();
  if (painter === null) tell({ stage: "loading the network" });
  painter ??= await Painter.load(await runtime(), model);
  const loaded = performance.now();
  tell({ stage: "painting" });
  for await (const { done, ...part } of painter.paint(indices, container)) {
    tell({ part, done }, [part.pixels.buffer]);
  }
  const seconds = (from, to) => (to - from) / 1000;
  tell({
    times: { indices: seconds(start, decoded), painting: seconds(loaded, performance.now()) },
  });
}

async function runtime() {
  let ort;
  try {
    ort = await import(new URL("ort.wasm.bundle.min.mjs", RUNTIME).href);
  } catch {
    throw new CodecError("onnxruntime-web is not there: run npm install --prefix web");
  }
  ort.env.wasm.wasmPaths = RUNTIME.href;
  // More threads need headers that simple servers do not send.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  return ort;
}

async function fetchFile(name) {
  let response;
  try {
    // Asks the server whether what the browser has is still what is there.
    response = await fetch(new URL(name, MODEL), { cache: "no-cache" });
  } catch {
    throw new CodecError(`${name} could not be fetched: is the server still running?`);
  }
  if (!response.ok) {
    throw new CodecError(
      `model/${name} is not there: run compressai-vq export-onnx -o web/model`,
    );
  }
  return new Uint8Array(await response.arrayBuffer());
}
