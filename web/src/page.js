/** The page: a file comes in by the button or is dropped; a worker decodes it. */

const byId = (id) => document.getElementById(id);
const canvas = byId("picture");

let worker = null;
let current = 0;
let name = "";

byId("file").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0]);
  target.value = ""; // the same file may be chosen again
});

for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
}

byId("save").addEventListener("click", () => {
  canvas.toBlob((blob) => {
    if (blob === null) return fail("this browser cannot make a PNG of so large a picture");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name.replace(/\.cvq$/i, "")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
});

async function open(file) {
  const id = ++current;
  name = file.name;
  document.body.dataset.state = "busy";
  byId("error").hidden = true;
  byId("result").hidden = true;
  byId("save").disabled = true;
  let bytes;
  try {
    bytes = await file.arrayBuffer();
  } catch {
    if (id === current) fail("the file could not be read");
    return;
  }
  if (id !== current) return;
  readyWorker().postMessage({ id, bytes }, [bytes]);
}

/** A worker that has nothing to do; one that is busy with an earlier file is ended. */
function readyWorker() {
  if (worker?.busy) {
    worker.terminate();
    worker = null;
  }
  if (worker === null) {
    worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => {
      if (data.id === current) receive(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      worker = null;
      fail("the decoder could not be started: is the server still running?");
    };
  }
  worker.busy = true;
  return worker;
}

function receive({ header, stage, done, part, times, error }) {
  if (error || times) worker.busy = false;
  if (error) return fail(error);
  if (header) start(header);
  if (part) return draw(part, done);
  if (stage) showProgress(stage, done);
  if (times) finish(times);
}

function start(header) {
  const bpp = (8 * header.bytes) / (header.width * header.height);
  showFacts({
    Size: `${header.width} × ${header.height}`,
    Bytes: header.bytes.toLocaleString("en"),
    "Bits per pixel": bpp.toFixed(4),
    Quality: String(header.quality),
    Coding: header.coding === "prior" ? "index prior" : "frequencies",
  });
  canvas.dataset.size = `${header.width}x${header.height}`;
}

function showFacts(facts) {
  const rows = Object.entries(facts).map(([term, text]) => {
    const row = document.createElement("div");
    row.append(document.createElement("dt"), document.createElement("dd"));
    row.firstChild.textContent = term;
    row.lastChild.textContent = text;
    return row;
  });
  byId("facts").replaceChildren(...rows);
}

function draw({ x, y, width, height, pixels }, done) {
  if (byId("result").hidden) {
    // Only now: a picture that a browser refuses to hold must not replace anything before.
    [canvas.width, canvas.height] = canvas.dataset.size.split("x").map(Number);
    canvas.setAttribute("aria-label", `The picture in ${name}`);
    byId("result").hidden = false;
  }
  const context = canvas.getContext("2d");
  if (context === null) {
    current++; // what the worker still sends is for nobody
    return fail("this browser cannot show so large a picture");
  }
  context.putImageData(new ImageData(pixels, width, height), x, y);
  showProgress("painting", done);
}

function showProgress(stage, done) {
  const bar = byId("progress");
  byId("status").textContent = `${name}: ${stage} …`;
  bar.hidden = false;
  if (done === undefined) bar.removeAttribute("value");
  else bar.value = done;
}

function finish({ indices, painting }) {
  byId("progress").hidden = true;
  byId("save").disabled = false;
  const all = indices + painting;
  byId("status").textContent =
    `${name}: decoded in ${all.toFixed(2)} s ` +
    `(indices ${indices.toFixed(2)} s, painting ${painting.toFixed(2)} s)`;
  document.body.dataset.state = "done";
}

function fail(message) {
  byId("progress").hidden = true;
  byId("result").hidden = true;
  byId("status").textContent = "";
  byId("error").textContent = `${name}: ${message}`;
  byId("error").hidden = false;
  document.body.dataset.state = "failed";
}
