"""A headless Chromium for the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from benchmarks.report.export import find_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module", name="browser")
def chromium() -> Iterator[Browser]:
    """The browser; tests are skipped without one, or without the extra 'report'."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra 'report'")
    executable = find_browser()
    if executable is None:
        pytest.skip("no Chromium on the path, and BROWSER_PATH names none")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=_FLAGS)
        yield browser
        browser.close()
