// Two pictures with a movable boundary, and crops of both and of the original at 1:1.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  if (!data.images.length) return;
  const get = (id) => document.getElementById(`v-${id}`);
  const [stage, slider, over, under] = ["stage", "slider", "over", "under"].map(get);
  const selects = { image: get("image"), left: get("left"), right: get("right"), rate: get("rate") };
  const crops = { left: get("crop-left"), original: get("crop-original"), right: get("crop-right") };
  const ORIGINAL = "original";
  const state = { position: 50, x: 0.5, y: 0.5 };
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const current = () => data.images[Number(selects.image.value)];

  // The two codecs stay chosen from image to image wherever the next one has them too.
  function fillCodecs() {
    const keys = Object.keys(current().codecs);
    const wanted = { left: selects.left.value || keys[0],
      right: selects.right.value || keys[1] || ORIGINAL };
    for (const side of ["left", "right"]) {
      selects[side].replaceChildren(...[...keys, ORIGINAL].map((key) =>
        new Option(key === ORIGINAL ? "Original" : data.labels[key] ?? key, key)));
      const known = keys.includes(wanted[side]) || wanted[side] === ORIGINAL;
      selects[side].value = known ? wanted[side] : (side === "left" ? keys[0] : ORIGINAL);
    }
  }

  function shown(side) {
    const image = current();
    const key = selects[side].value;
    if (key === ORIGINAL) return { name: "Original", uri: image.original, caption: "uncompressed" };
    const target = data.targets[Number(selects.rate.value)];
    const point = image.codecs[key].reduce((best, next) =>
      Math.abs(next.bpp - target) < Math.abs(best.bpp - target) ? next : best);
    const lpips = point.lpips === null ? "" : `, LPIPS ${point.lpips.toFixed(3)}`;
    return { name: data.labels[key] ?? key, uri: point.uri,
      caption: `${point.bytes.toLocaleString("en")} bytes, ${point.bpp.toFixed(4)} bpp${lpips}` };
  }

  function caption(element, name, text) {
    const title = document.createElement("b");
    title.textContent = name;
    element.replaceChildren(title, text);
  }

  function drawBoundary() {
    over.style.clipPath = `inset(0 ${100 - state.position}% 0 0)`;
    slider.style.left = `${state.position}%`;
    const percent = Math.round(state.position);
    slider.setAttribute("aria-valuenow", String(percent));
    slider.setAttribute("aria-valuetext", `${percent} % left picture, ${100 - percent} % right`);
  }

  function drawCrops() {
    const { width, height } = current();
    const box = crops.original.getBoundingClientRect();
    const [w, h] = [Math.min(box.width, width), Math.min(box.height, height)];
    const left = Math.round(clamp(state.x * width - w / 2, 0, width - w));
    const top = Math.round(clamp(state.y * height - h / 2, 0, height - h));
    state.x = (left + w / 2) / width;
    state.y = (top + h / 2) / height;
    for (const crop of Object.values(crops)) {
      crop.style.backgroundSize = `${width}px ${height}px`;
      crop.style.backgroundPosition = `${-left}px ${-top}px`;
    }
    Object.assign(get("focus").style, {
      left: `${100 * left / width}%`, top: `${100 * top / height}%`,
      width: `${100 * w / width}%`, height: `${100 * h / height}%`,
    });
  }

  function draw() {
    const image = current();
    const [left, right] = [shown("left"), shown("right")];
    stage.style.aspectRatio = `${image.width} / ${image.height}`;
    stage.style.width = `min(100%, ${image.width}px, ${(88 * image.width / image.height).toFixed(1)}vh)`;
    over.src = left.uri;
    over.alt = `${image.title}, ${left.name}`;
    under.src = right.uri;
    under.alt = `${image.title}, ${right.name}`;
    const remark = image.remark ? `; shown: ${image.remark}` : "";
    for (const [side, one] of [["left", left], ["right", right]]) {
      get(`tag-${side}`).textContent = one.name;
      get(`crop-${side}-name`).textContent = one.name;
      caption(get(`caption-${side}`), one.name, one.caption + remark);
      crops[side].setAttribute("aria-label", `1:1 crop, ${one.name}`);
      crops[side].style.backgroundImage = `url("${one.uri}")`;
    }
    crops.original.setAttribute("aria-label", "1:1 crop, original");
    crops.original.style.backgroundImage = `url("${image.original}")`;
    drawBoundary();
    drawCrops();
  }

  function moveTo(position) {
    state.position = clamp(position, 0, 100);
    drawBoundary();
  }

  function moveCrops(dx, dy) {
    const { width, height } = current();
    state.x = clamp(state.x + dx / width, 0, 1);
    state.y = clamp(state.y + dy / height, 0, 1);
    drawCrops();
  }

  function dragging(element, onMove) {
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      onMove(event, true);
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) onMove(event, false);
    });
  }

  dragging(stage, (event) => {
    const box = stage.getBoundingClientRect();
    moveTo(100 * (event.clientX - box.left) / box.width);
  });
  stage.addEventListener("dblclick", (event) => {
    const box = stage.getBoundingClientRect();
    state.x = (event.clientX - box.left) / box.width;
    state.y = (event.clientY - box.top) / box.height;
    drawCrops();
  });
  slider.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1,
      PageDown: -10, PageUp: 10, Home: -100, End: 100 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    moveTo(state.position + steps[event.key] * (event.shiftKey ? 5 : 1));
  });
  for (const crop of Object.values(crops)) {
    let last = null;
    dragging(crop, (event, first) => {
      if (!first) moveCrops(last.x - event.clientX, last.y - event.clientY);
      last = { x: event.clientX, y: event.clientY };
    });
    crop.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [-16, 0], ArrowRight: [16, 0], ArrowUp: [0, -16], ArrowDown: [0, 16] };
      if (!(event.key in steps)) return;
      event.preventDefault();
      moveCrops(...steps[event.key]);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("select, input")) return;
    const choose = (select, value) => {
      if (value < 0 || value >= select.options.length) return;
      select.value = String(value);
      select.dispatchEvent(new Event("change"));
    };
    if (/^[1-9]$/.test(event.key)) choose(selects.image, Number(event.key) - 1);
    if (event.key === "[") choose(selects.rate, Number(selects.rate.value) - 1);
    if (event.key === "]") choose(selects.rate, Number(selects.rate.value) + 1);
  });
  selects.image.addEventListener("change", () => { fillCodecs(); draw(); });
  for (const side of ["left", "right", "rate"]) selects[side].addEventListener("change", draw);
  window.addEventListener("resize", drawCrops);
  fillCodecs();
  draw();
})();
