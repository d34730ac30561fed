"""The decoder page in a headless Chromium, served locally as its README says."""

from __future__ import annotations

import functools
import http.server
import io
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from benchmarks.environment import ROOT
from compressai_vq.codings import FREQUENCIES, PRIOR
from compressai_vq.file_codec import FileCodec
from compressai_vq.ladder_weights import LadderWeights, packaged_weights
from compressai_vq.onnx_export import export_onnx
from compressai_vq.prior.prior_weights import packaged_prior

from ..browser import chromium  # noqa: F401
from ..fixtures import photograph
from ..taming_reference import one_thread  # noqa: F401

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.whole

pytest.importorskip("playwright.sync_api", reason="needs the extra 'report'")
pytest.importorskip("onnx", reason="needs the extra 'onnx'")

WEB = ROOT / "web"
SCREENSHOT = ROOT / "out" / "ci" / "decoder-page.png"
QUALITY = 7
HEIGHT, WIDTH = 203, 317  # no multiples of 16


@functools.cache
def runtime() -> Path:
    """The folder of onnxruntime-web's files, which npm installs once."""
    folder = WEB / "node_modules" / "onnxruntime-web" / "dist"
    if not folder.is_dir():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("onnxruntime-web is not installed, and there is no npm")
        command = [npm, "install", "--prefix", str(WEB)]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"onnxruntime-web could not be installed: {type(error).__name__}")
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    """What ``python -m http.server`` serves with, without its log."""

    asked: ClassVar[list[str | None]] = []
    """How old the page's worker lets files of the model be."""

    def do_GET(self) -> None:
        if "/model/" in self.path and "worker.js" in self.headers.get("Referer", ""):
            self.asked.append(self.headers.get("Cache-Control"))
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def codec() -> FileCodec:
    """The package's weights, as the page computes: in fp32."""
    return FileCodec(LadderWeights.load(packaged_weights("mao2024-vqgan-lite")), precision="fp32")


@pytest.fixture(scope="module")
def address(codec: FileCodec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is served, with an export and onnxruntime-web beside it."""
    site = tmp_path_factory.mktemp("site")
    installed = runtime()
    for name in ("index.html", "style.css", "src"):
        (site / name).symlink_to(WEB / name)
    (site / "node_modules" / "onnxruntime-web").mkdir(parents=True)
    (site / "node_modules" / "onnxruntime-web" / "dist").symlink_to(installed)
    export_onnx(codec.weights, site / "model", [QUALITY], packaged_prior(codec.weights))
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page; at the end, nothing must have been said or fetched from elsewhere."""
    page = browser.new_page(viewport={"width": 1000, "height": 900}, accept_downloads=True)
    page.set_default_timeout(120_000)  # a busy machine is no failure
    said: list[str] = []
    fetched: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.context.on("request", lambda request: fetched.append(request.url))
    page.goto(address)
    yield page
    page.close()
    assert said == []
    # After another export, reloading is enough.
    assert Quiet.asked and set(Quiet.asked) == {"max-age=0"}
    assert fetched and all(url.startswith((address, "data:", "blob:")) for url in fetched)


def written(codec: FileCodec, coding: str) -> tuple[bytes, np.ndarray]:
    """A file and the picture that Python decodes from it, uint8 (H, W, 3)."""
    codec.coding = coding
    data = codec.compress(photograph(HEIGHT, WIDTH), QUALITY)
    return data, codec.decompress(data).permute(1, 2, 0).numpy()


def choose(page: Page, data: bytes, name: str = "china.cvq") -> str:
    """Open a file by the button; returns how it ended."""
    page.evaluate("document.body.dataset.state = ''")
    page.set_input_files(
        "#file", {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    )
    page.wait_for_selector("body[data-state=done], body[data-state=failed]")
    return page.evaluate("document.body.dataset.state")


def saved(page: Page) -> np.ndarray:
    """What the button saves, uint8 (H, W, 3)."""
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "china.png"
    with Image.open(io.BytesIO(download.value.path().read_bytes())) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def difference(shown: np.ndarray, expected: np.ndarray) -> np.ndarray:
    assert shown.shape == expected.shape == (HEIGHT, WIDTH, 3)
    return np.abs(shown.astype(int) - expected)


def test_a_file_is_shown_as_python_decodes_it(page: Page, codec: FileCodec) -> None:
    if codec.coding != PRIOR:
        pytest.skip("the package's weights have no index prior")
    data, expected = written(codec, PRIOR)
    assert choose(page, data) == "done"
    facts = page.locator("#facts dd").all_text_contents()
    bpp = f"{8 * len(data) / (WIDTH * HEIGHT):.4f}"
    assert facts == [f"{WIDTH} \u00d7 {HEIGHT}", str(len(data)), bpp, str(QUALITY), "index prior"]
    status = page.locator("#status").text_content()
    assert status is not None and status.startswith("china.cvq: decoded in ")
    error = difference(saved(page), expected)
    assert error.max() <= 1 and error.mean() < 0.01
    SCREENSHOT.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENSHOT), full_page=True)
    assert SCREENSHOT.stat().st_size > 20_000


def test_dropped_files_and_bad_ones(page: Page, codec: FileCodec) -> None:
    data, expected = written(codec, FREQUENCIES)
    assert choose(page, data[:-1]) == "failed"
    assert page.locator("#error").text_content() == (
        "china.cvq: the file is truncated: 1 bytes are missing"
    )
    assert not page.locator("#result").is_visible()
    assert choose(page, b"<html>", "<b>.html") == "failed"
    assert page.locator("#error").text_content() == "<b>.html: not a .cvq file"

    drop = """bytes => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "china.cvq"));
        document.dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
    }"""
    page.evaluate(drop, list(data))
    page.wait_for_selector("body[data-state=done]")
    assert not page.locator("#error").is_visible()
    assert page.locator("#facts dd").last.text_content() == "frequencies"
    assert difference(saved(page), expected).max() <= 1


def test_parts_decode_to_the_pixels_of_the_whole(page: Page, codec: FileCodec) -> None:
    """As large pictures are decoded: here in parts of a few positions."""
    paint = """async limits => {
        const ort = await import("/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs");
        ort.env.wasm.wasmPaths = location.origin + "/node_modules/onnxruntime-web/dist/";
        ort.env.wasm.numThreads = 1;
        const { Model } = await import("/src/model.js");
        const { Painter } = await import("/src/painter.js");
        const fetched = async name => (await fetch("/model/" + name)).arrayBuffer();
        const model = await Model.load(async name => new Uint8Array(await fetched(name)));
        const painter = await Painter.load(ort, model);
        const [rows, columns, width, height] = [2, 41, 650, 30];
        const indices = Int32Array.from({length: rows * columns}, (_, i) => (i * 37) % 512);
        const container = {rows, columns, width, height, quality: 7};
        const results = [];
        for (const most of limits) {
            const canvas = new OffscreenCanvas(width, height).getContext("2d");
            let parts = 0;
            for await (const part of painter.paint(indices, container, most)) {
                const image = new ImageData(part.pixels, part.width, part.height);
                canvas.putImageData(image, part.x, part.y);
                parts++;
            }
            results.push([parts, Array.from(canvas.getImageData(0, 0, width, height).data)]);
        }
        return results;
    }"""
    (one, whole), (several, parts) = page.evaluate(paint, [128, 40])
    assert (one, several) == (1, 6)
    assert np.abs(np.subtract(whole, parts)).max() <= 1
    assert np.std(whole) > 10


def test_keyboard_phone_and_night(page: Page, codec: FileCodec) -> None:
    assert choose(page, written(codec, FREQUENCIES)[0]) == "done"
    page.locator("body").click(position={"x": 1, "y": 1})
    for expected in ("file", "save"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == expected
    for scheme, bright in (("light", True), ("dark", False)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper.strip("rgb()").split(","))) > 384) == bright
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    shown = page.locator("#picture").bounding_box()
    assert shown is not None and 250 < shown["width"] <= 360
    assert abs(shown["width"] / shown["height"] - WIDTH / HEIGHT) < 0.05
    page.screenshot(path=str(SCREENSHOT.with_stem("decoder-page-phone")), full_page=True)
