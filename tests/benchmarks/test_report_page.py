"""The report's page in a headless Chromium, from the file system and without a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from benchmarks.codecs import OURS, OurCodec
from benchmarks.environment import ROOT
from benchmarks.report.__main__ import RESULTS, main
from benchmarks.report.build import build_report
from benchmarks.report.page import render
from benchmarks.report.pictures import Packer
from benchmarks.report.results import load_results
from benchmarks.report.stored_images import StoredImages
from plugins.still_codecs.still_picture import StillPictureCodec

from ..browser import chromium  # noqa: F401
from ..fixtures import untrained_weights
from .made_up_results import as_measured, write_pictures, write_results

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.whole

pytest.importorskip("playwright.sync_api", reason="needs the extra 'report'")

SCREENSHOT = ROOT / "out" / "ci" / "report.png"
Scheme = Literal["light", "dark"]
UNIFORM = f"{OURS}-uniform"


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with two small pictures, each in two codecs."""
    folder = tmp_path_factory.mktemp("report")
    codecs: dict[str, StillPictureCodec] = {
        OURS: OurCodec(untrained_weights(), "made up"),
        UNIFORM: OurCodec(untrained_weights(1), "made up"),
    }
    names = write_pictures(folder / "originals", folder / "streams/kodak", codecs)
    write_results(folder, "kodak", [OURS, "vvc", "jpegxl"], names)
    as_measured(folder / "kodak", folder / "streams/kodak", {OURS: codecs[OURS]})
    report = build_report(folder)
    stored = StoredImages(
        load_results(folder), folder / "streams", {"kodak": folder / "originals"},
        codecs.__getitem__, Packer(folder / "cache"), print,
    )  # fmt: skip
    report.images = list(stored)
    report.labels[UNIFORM] = "uniform"
    path = folder / "report.html"
    path.write_text(render(report), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def loaded(browser: Browser, made_up: Path) -> Iterator[Page]:
    with opened(browser, made_up) as page:
        yield page


@pytest.fixture
def page(loaded: Page) -> Page:
    """The same page in every test, as it is after loading: loading takes a second."""
    loaded.set_viewport_size({"width": 1280, "height": 900})
    loaded.select_option("#v-image", "0")
    loaded.select_option("#v-left", OURS)
    loaded.select_option("#v-right", UNIFORM)
    loaded.select_option("#v-rate", "1")
    loaded.locator("#v-slider").focus()
    loaded.keyboard.press("Home")
    for _ in range(5):
        loaded.keyboard.press("PageUp")
    return loaded


class opened:
    """A page; on leaving, nothing must have been said or asked for."""

    def __init__(
        self, browser: Browser, path: Path, width: int = 1280, scheme: Scheme = "light"
    ) -> None:
        self._page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=width < 700
        )
        self._path = path
        self._said: list[str] = []

    def __enter__(self) -> Page:
        page = self._page
        page.set_default_timeout(180_000)  # a busy machine is no failure
        page.on("console", lambda message: self._said.append(message.text))
        page.on("pageerror", lambda error: self._said.append(str(error)))
        page.on("request", lambda request: self._said.append(request.url[:60]))
        page.goto(self._path.as_uri())
        page.wait_for_selector(".canvas .main-svg")
        return page

    def __exit__(self, *exc_info: object) -> None:
        said = [text for text in self._said if not text.startswith(("data:", "blob:"))]
        self._page.close()
        if exc_info[0] is None:
            assert said == [self._path.as_uri()[:60]]


def clip(page: Page) -> str:
    return page.locator("#v-over").evaluate("image => getComputedStyle(image).clipPath")


def value(page: Page) -> int:
    return int(page.locator("#v-slider").get_attribute("aria-valuenow") or "")


def test_every_plot_is_drawn_and_one_legend_rules_those_of_a_set(page: Page) -> None:
    plots = page.locator(".canvas")
    assert plots.count() == 5
    assert page.locator(".canvas .main-svg").count() >= 5
    assert page.locator(".canvas .legend").count() == 1
    shown = """name => [...document.querySelectorAll(".canvas")].map(
        plot => plot.data.find(trace => trace.name === name)?.visible ?? true)"""
    label = "VVC (libvvenc, medium)"
    assert page.evaluate(shown, label) == [True] * 5
    toggle = page.locator(".legend .traces", has_text=label).locator(".legendtoggle")
    toggle.click()
    # Plotly waits for a second click; the page's policy forbids Playwright's own waiting.
    deadline = time.monotonic() + 10
    while page.evaluate(shown, label) != ["legendonly"] * 5 and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert page.evaluate(shown, label) == ["legendonly"] * 5
    assert page.evaluate(shown, "ours") == [True] * 5


def test_buttons_of_plots_hide_nothing_and_send_nothing(page: Page) -> None:
    page.locator(".canvas").first.hover()
    groups = page.locator(".canvas").first.locator(".modebar-group")
    assert groups.count() > 1
    ground = "group => getComputedStyle(group).backgroundColor"
    grounds = [groups.nth(n).evaluate(ground) for n in range(groups.count())]
    assert set(grounds) == {"rgba(0, 0, 0, 0)"}
    titles = page.locator(".modebar-btn").evaluate_all("all => all.map(a => a.dataset.title)")
    assert "Zoom in" in titles and not [title for title in titles if "loud" in title]


def test_hovering_shows_exact_values(page: Page) -> None:
    point = page.locator(".canvas").first.locator(".scatterlayer .trace").first.locator(".point")
    point.first.scroll_into_view_if_needed()
    box = point.first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    text = page.locator(".hoverlayer .hovertext").first.text_content()
    assert text is not None
    assert "ours" in text and "0.01200 bpp" in text and "LPIPS (AlexNet) 0.4800" in text


def test_slider_by_mouse(page: Page) -> None:
    stage = page.locator("#v-stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    before = clip(page)
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, y, steps=4)
    assert value(page) == 25
    page.mouse.move(box["x"] - 80, y, steps=2)
    page.mouse.up()
    assert value(page) == 0
    assert before != clip(page) and "100%" in clip(page)
    page.mouse.move(box["x"] + box["width"] / 2, y)
    assert value(page) == 0  # only while the button is down


def test_slider_by_keyboard(page: Page) -> None:
    slider = page.locator("#v-slider")
    slider.focus()
    before = clip(page)
    for key, expected in (
        ("ArrowLeft", 49), ("ArrowRight", 50), ("Shift+ArrowRight", 55), ("PageUp", 65),
        ("PageDown", 55), ("End", 100), ("ArrowRight", 100), ("Home", 0),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert value(page) == expected
        assert slider.get_attribute("aria-valuetext") == (
            f"{expected} % left picture, {100 - expected} % right"
        )
    assert clip(page) != before


def test_slider_by_touch(browser: Browser, made_up: Path) -> None:
    with opened(browser, made_up, width=390) as page:
        stage = page.locator("#v-stage")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        assert box is not None
        page.touchscreen.tap(box["x"] + 0.2 * box["width"], box["y"] + 0.9 * box["height"])
        assert value(page) == 20


def test_menus_choose_image_codecs_and_rate(page: Page) -> None:
    left, right = page.locator("#v-caption-left"), page.locator("#v-caption-right")
    options = page.locator("#v-left option").all_text_contents()
    assert options == ["ours", "uniform", "Original"]
    first = left.text_content()
    assert first and first.startswith("ours") and "bytes" in first and "LPIPS" in first
    source = page.locator("#v-over").get_attribute("src")
    page.select_option("#v-left", "original")
    assert left.text_content() == "Originaluncompressed"
    assert page.locator("#v-over").get_attribute("src") != source
    page.select_option("#v-right", OURS)
    smallest = right.text_content()
    page.locator("#v-slider").focus()
    page.keyboard.press("]")
    page.keyboard.press("]")
    assert page.locator("#v-rate").input_value() == "3"
    assert right.text_content() != smallest
    picture = page.locator("#v-under").get_attribute("src")
    page.keyboard.press("2")
    assert page.locator("#v-image").input_value() == "1"
    assert page.locator("#v-right").input_value() == OURS
    assert page.locator("#v-under").get_attribute("src") != picture
    page.keyboard.press("9")  # there is no ninth
    assert page.locator("#v-image").input_value() == "1"


def test_crops_are_pixel_for_pixel_and_move_together(page: Page) -> None:
    crops = page.locator(".crop")
    style = "crop => [crop.style.backgroundSize, crop.style.backgroundPosition]"
    before = [crops.nth(n).evaluate(style) for n in range(3)]
    assert [size for size, _ in before] == ["256px 192px"] * 3
    page.evaluate("document.querySelectorAll('.crop').forEach(c => c.style.height = '100px')")
    crops.nth(0).focus()
    page.keyboard.press("ArrowDown")
    after = [crops.nth(n).evaluate(style) for n in range(3)]
    assert after[0] == after[1] == after[2] and after[0] != before[0]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_nothing_sticks_out_by_day_or_night(page: Page, width: int, scheme: Scheme) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert is_bright(paper) == (scheme == "light")
    # What is drawn follows when the reader's system changes over: an event, so not at once.
    for _ in range(200):
        plot = page.evaluate("document.querySelector('.canvas').layout.font.color")
        if is_bright(plot) == (scheme == "dark"):
            break
        page.wait_for_timeout(100)
    assert is_bright(plot) == (scheme == "dark")


def is_bright(colour: str) -> bool:
    if colour.startswith("#"):
        return sum(bytes.fromhex(colour[1:])) > 384
    return sum(int(part) for part in colour.strip("rgb()").split(",")) > 384


def test_the_report_of_the_stored_results(browser: Browser, tmp_path: Path) -> None:
    """The command as a plain clone runs it; what it looks like is kept for people to see."""
    out, documents = tmp_path / "out", tmp_path / "documents"
    assert main(["-o", str(out), "--results", str(RESULTS), "--documents", str(documents),
                 "--streams", str(tmp_path), "--codecs", OURS, "--images", "1",
                 "--no-png"]) == 0  # fmt: skip
    with opened(browser, out / "report.html") as page:
        assert page.locator("#v-left option").count() == 2
        assert page.locator("#v-under").evaluate("image => image.naturalWidth") == 640
        SCREENSHOT.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(SCREENSHOT), full_page=True)
    assert SCREENSHOT.stat().st_size > 50_000
